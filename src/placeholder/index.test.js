'use strict';

const assert = require('node:assert');
const Module = require('node:module');
const test = require('node:test');

Object.assign(process.env, {
  AWS_REGION: 'us-west-2',
  PRIMARY_REGION: 'us-east-1',
  DR_REGION: 'us-west-2',
  PROJECT_NAME: 'shop',
  DYNAMODB_TABLE: 'shop-visits',
});

// The SDK is part of Lambda's runtime and not of this machine: a client that keeps its commands and answers as told.
const sent = [];
let answer;
class Client {
  async send(command) {
    sent.push(command);
    return answer(command);
  }
}
class UpdateItemCommand { constructor(input) { this.update = input; } }
class QueryCommand { constructor(input) { this.query = input; } }
const load = Module._load;
Module._load = (request, ...rest) => (request === '@aws-sdk/client-dynamodb'
  ? { DynamoDBClient: Client, QueryCommand, UpdateItemCommand }
  : load(request, ...rest));
const { handler } = require('./index.js');

const counters = { Items: [{ count: { N: '3' } }, { count: { N: '4' } }, {}] };
const request = (headers, method = 'GET') => handler({ headers, requestContext: { http: { method } } });

test.beforeEach(() => {
  sent.length = 0;
  answer = (command) => (command.query ? counters : {});
});

test('a visit is counted atomically, in the item of its region', async () => {
  const response = await request({});
  assert.strictEqual(response.statusCode, 200);
  assert.deepStrictEqual(JSON.parse(response.body), { app: 'shop', region: 'us-west-2', role: 'dr', visits: 7 });
  const [{ update }] = sent;
  assert.strictEqual(update.TableName, 'shop-visits');
  assert.deepStrictEqual(update.Key, { PK: { S: 'GLOBAL' }, SK: { S: 'COUNTER#us-west-2' } });
  assert.match(update.UpdateExpression, /^ADD /);
});

test('probes and requests without a body are answered and not counted', async () => {
  for (const [headers, method] of [[{ 'user-agent': 'multiregion-probe' }, 'GET'], [{}, 'HEAD'], [{}, 'OPTIONS']]) {
    const response = await request(headers, method);
    assert.strictEqual(JSON.parse(response.body).visits, 7);
  }
  assert.ok(sent.every((command) => command.query));
});

test('a table that refuses costs the count and not the page', async (t) => {
  t.mock.method(console, 'warn', () => {});
  answer = () => { throw Object.assign(new Error('The provided key element does not match the schema'), { name: 'ValidationException' }); };
  const response = await request({ accept: 'text/html,*/*' });
  assert.strictEqual(response.statusCode, 200);
  assert.match(response.body, /us-west-2<\/strong> \(dr\)\. Visits: <strong>not counted/);
});

test('an answer is never cached, and says who gave it', async () => {
  const { headers } = await request({});
  assert.strictEqual(headers['cache-control'], 'no-store');
  assert.strictEqual(headers['x-served-by'], 'us-west-2');
});

test('an event without headers or context is a visit', async () => {
  assert.strictEqual((await handler({})).statusCode, 200);
  assert.ok(sent[0].update);
});
