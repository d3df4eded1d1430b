import cf from 'cloudfront';

// Sends a request on a write path to the side that takes the writes. Which one is read from the key value store under
// the distribution's id, as in "Primary:7"; nothing of the distribution is changed to move it.
//
// JavaScript runtime 2.0: no destructuring, no classes, 10 KB. What is thrown from here is the viewer's 503.

const FAILOVER_STATUS_CODES = [];
const ORIGINS = { Primary: 'lambda-primary', DR: 'lambda-dr' };
const SAFE_METHODS = ['GET', 'HEAD', 'OPTIONS'];
const REPORT = '/.multiregion/writer';
// Asked for by the operator's probe: of the side that takes the writes, and of no other in its place.
const WITNESS = '/.multiregion/probe';

async function handler(event) {
  const request = event.request;
  const distribution = event.context.distributionId;
  const writer = await read(distribution);
  if (request.method === 'GET' && request.uri.endsWith(REPORT)) {
    return report(distribution, writer);
  }
  if (SAFE_METHODS.indexOf(request.method) >= 0 && !request.uri.endsWith(WITNESS)) {
    // Reads need no writer: they go on whichever side is down, moved or not.
    group(writer !== null ? writer.side : 'Primary');
    return request;
  }
  if (writer === null) {
    // Not to the primary by default: it may have been moved away from.
    return answer(503, 'Service Unavailable', { error: 'The side that takes writes is not known here yet.' });
  }
  cf.selectRequestOriginById(ORIGINS[writer.side]);
  return request;
}

// The writer; null where the store has none, has one of another form, or cannot be read.
async function read(distribution) {
  try {
    const value = await cf.kvs().get(distribution);
    const parts = /^(Primary|DR):([0-9]+)$/.exec(value);
    return parts === null ? null : { side: parts[1], epoch: Number(parts[2]) };
  } catch (error) {
    return null;
  }
}

function group(first) {
  const second = first === 'Primary' ? 'DR' : 'Primary';
  cf.createRequestOriginGroup({
    originIds: [{ originId: ORIGINS[first] }, { originId: ORIGINS[second] }],
    failoverCriteria: { statusCodes: FAILOVER_STATUS_CODES },
  });
}

// What this edge knows: how the operator sees that a move has arrived.
function report(distribution, writer) {
  if (writer === null) {
    return answer(503, 'Service Unavailable', { distribution: distribution, writer: null, epoch: null });
  }
  return answer(200, 'OK', { distribution: distribution, writer: writer.side, epoch: writer.epoch });
}

function answer(statusCode, statusDescription, body) {
  const headers = {
    'cache-control': { value: 'no-store' },
    'content-type': { value: 'application/json' },
  };
  if (statusCode === 503) {
    headers['retry-after'] = { value: '1' };
  }
  return {
    statusCode: statusCode,
    statusDescription: statusDescription,
    headers: headers,
    body: { encoding: 'text', data: JSON.stringify(body) },
  };
}
