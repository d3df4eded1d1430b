'use strict';

const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');

const CODES = [500, 502, 503, 504];
const source = fs.readFileSync(path.join(__dirname, 'writer.js'), 'utf8')
  .replace('FAILOVER_STATUS_CODES = []', `FAILOVER_STATUS_CODES = ${JSON.stringify(CODES)}`);

// The function as the edge runs it: its one import is given, and what it asks of CloudFront is kept.
function edge(values) {
  const chosen = [];
  const cf = {
    kvs: () => ({
      get: async (key) => {
        if (values === undefined) throw new Error('the store cannot be read');
        if (!(key in values)) throw new Error('KeyNotFound');
        return values[key];
      },
    }),
    selectRequestOriginById: (id) => chosen.push(id),
    createRequestOriginGroup: (group) => chosen.push(group),
  };
  const body = source.replace("import cf from 'cloudfront';", '');
  assert.notStrictEqual(body, source);
  const handler = new Function('cf', `${body}\nreturn handler;`)(cf);
  return async (method, uri) => {
    chosen.length = 0;
    const request = { method, uri, headers: {}, cookies: {}, querystring: {} };
    const context = { distributionDomainName: 'd1.cloudfront.net', distributionId: 'E1', eventType: 'viewer-request' };
    const answer = await handler({ version: '1.0', context, viewer: { ip: '192.0.2.1' }, request });
    return { passed: answer === request, answer, chosen: [...chosen] };
  };
}

const group = (first, second) => ({
  originIds: [{ originId: first }, { originId: second }],
  failoverCriteria: { statusCodes: CODES },
});
const UNREADABLE = {
  'a store that cannot be read': undefined,
  'a missing key': { E2: 'Primary:1' },
  'an empty value': { E1: '' },
  'a value of another form': { E1: 'DR' },
  'a side that is none': { E1: 'constructor:1' },
};

test('writes go to the writer, whichever side it is', async () => {
  for (const [value, origin] of [['Primary:1', 'lambda-primary'], ['DR:27', 'lambda-dr']]) {
    const ask = edge({ E1: value, E2: 'Primary:9' });
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
      const { passed, chosen } = await ask(method, '/api/orders');
      assert.ok(passed);
      assert.deepStrictEqual(chosen, [origin]);
    }
  }
});

test('reads try the writer first and then the other side', async () => {
  for (const method of ['GET', 'HEAD', 'OPTIONS']) {
    const primary = await edge({ E1: 'Primary:1' })(method, '/api/orders');
    assert.ok(primary.passed);
    assert.deepStrictEqual(primary.chosen, [group('lambda-primary', 'lambda-dr')]);
    const dr = await edge({ E1: 'DR:2' })(method, '/api/orders');
    assert.deepStrictEqual(dr.chosen, [group('lambda-dr', 'lambda-primary')]);
  }
});

test('without a writer reads go on and writes are to come again', async () => {
  for (const [what, values] of Object.entries(UNREADABLE)) {
    const ask = edge(values);
    const read = await ask('GET', '/api/orders');
    assert.ok(read.passed, what);
    assert.deepStrictEqual(read.chosen, [group('lambda-primary', 'lambda-dr')], what);
    const write = await ask('POST', '/api/orders');
    assert.deepStrictEqual(write.chosen, [], what);
    assert.strictEqual(write.answer.statusCode, 503, what);
    assert.strictEqual(write.answer.headers['retry-after'].value, '1', what);
    assert.strictEqual(write.answer.headers['cache-control'].value, 'no-store', what);
  }
});

test('an edge says which writer it knows', async () => {
  const { answer, chosen } = await edge({ E1: 'DR:27' })('GET', '/api/.multiregion/writer');
  assert.deepStrictEqual(chosen, []);
  assert.strictEqual(answer.statusCode, 200);
  assert.strictEqual(answer.headers['cache-control'].value, 'no-store');
  assert.strictEqual(answer.headers['content-type'].value, 'application/json');
  assert.strictEqual(answer.body.encoding, 'text');
  assert.deepStrictEqual(JSON.parse(answer.body.data), { distribution: 'E1', writer: 'DR', epoch: 27 });
  for (const values of Object.values(UNREADABLE)) {
    const none = await edge(values)('GET', '/api/.multiregion/writer');
    assert.strictEqual(none.answer.statusCode, 503);
    assert.strictEqual(JSON.parse(none.answer.body.data).writer, null);
  }
  const post = await edge({ E1: 'DR:27' })('POST', '/api/.multiregion/writer');
  assert.deepStrictEqual(post.chosen, ['lambda-dr']);
});
