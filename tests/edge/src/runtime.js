// Runs CloudFront Functions (JavaScript runtime 2.0) for the edge: one JSON message a line, on standard input and output.
//
//   in   {run, code, store, event}          run a function; store is the ARN of its KeyValueStore, or null
//   out  {ask, store, verb, key}            the function reads its store
//   in   {answer, value} | {answer, error}  what it reads
//   out  {done, result, origin} | {done, error}
'use strict';
const vm = require('node:vm');
const readline = require('node:readline');

const MODULES = { crypto: require('node:crypto'), querystring: require('node:querystring'), buffer: require('node:buffer') };
const IMPORT = /^[ \t]*import\s+(\w+)\s+from\s+['"]([\w:]+)['"][ \t]*;?/gm;
// CloudFront gives a function's own code a millisecond or so; this machine may be slow, but a loop must end.
const TIME = 500;

const asked = new Map();
let count = 0;

const send = (message) => process.stdout.write(JSON.stringify(message) + '\n');

function ask(store, verb, key) {
  return new Promise((resolve, reject) => {
    const id = ++count;
    asked.set(id, { resolve, reject });
    send({ ask: id, store, verb, key });
  });
}

function helpers(store, chosen) {
  const originId = (one) => (typeof one === 'string' ? one : one && one.originId);
  const handle = {
    get: async (key, options) => {
      const value = await ask(store, 'get', String(key));
      const format = (options && options.format) || 'string';
      if (format === 'json') return JSON.parse(value);
      if (format === 'bytes') return Buffer.from(value);
      if (format !== 'string') throw new Error(`InvalidFormat: ${format}`);
      return value;
    },
    exists: (key) => ask(store, 'exists', String(key)),
    meta: () => ask(store, 'meta', ''),
    count: async () => (await ask(store, 'meta', '')).keyCount,
  };
  return {
    kvs: (id) => {
      if (!store || (id && !store.endsWith(`/${id}`))) throw new Error('KeyValueStoreNotAssociated');
      return handle;
    },
    selectRequestOriginById: (id) => {
      if (typeof id !== 'string' || !id) throw new Error('selectRequestOriginById: an origin id is needed');
      chosen.origin = { select: id };
    },
    createRequestOriginGroup: (group) => {
      const ids = ((group && group.originIds) || []).map(originId);
      const statuses = (group && group.failoverCriteria && group.failoverCriteria.statusCodes) || [];
      if (ids.length !== 2 || ids.some((id) => !id)) throw new Error('createRequestOriginGroup: two originIds are needed');
      if (!statuses.length) throw new Error('createRequestOriginGroup: failoverCriteria.statusCodes are needed');
      chosen.origin = { group: ids, statuses };
    },
    updateRequestOrigin: () => {
      throw new Error('updateRequestOrigin is not served by this edge');
    },
  };
}

function load(code) {
  const body = code.replace(IMPORT, (_, name, module) =>
    module === 'cloudfront' ? `const ${name} = __cloudfront;` : `const ${name} = __require('${module}');`,
  );
  return `(function () { 'use strict';\n${body}\nreturn handler(JSON.parse(__event)); })()`;
}

async function run({ run: id, code, store, event }) {
  const chosen = {};
  const requireModule = (name) => {
    if (!MODULES[name]) throw new Error(`there is no module ${name}`);
    return MODULES[name];
  };
  const log = (...parts) => process.stderr.write(parts.join(' ') + '\n');
  // Only what the runtime has: no network, no timers, no process.
  const context = vm.createContext(
    {
      __cloudfront: helpers(store, chosen),
      __event: JSON.stringify(event),
      __require: requireModule,
      require: requireModule,
      console: { log, error: log },
      Buffer,
      atob,
      btoa,
      TextEncoder,
      TextDecoder,
    },
    { codeGeneration: { strings: false, wasm: false } },
  );
  try {
    const result = await vm.runInContext(load(code), context, { timeout: TIME });
    send({ done: id, result: result === undefined ? null : result, origin: chosen.origin || null });
  } catch (error) {
    send({ done: id, error: String((error && error.message) || error) });
  }
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const message = JSON.parse(line);
  if (message.run !== undefined) {
    run(message);
    return;
  }
  const waiting = asked.get(message.answer);
  asked.delete(message.answer);
  if (!waiting) return;
  if (message.error !== undefined) waiting.reject(new Error(message.error));
  else waiting.resolve(message.value);
}).on('close', () => process.exit(0));
