// What a new app serves until its own code is uploaded: which region answered, and how many visits there were.
'use strict';

const { DynamoDBClient, QueryCommand, UpdateItemCommand } = require('@aws-sdk/client-dynamodb');

const region = process.env.AWS_REGION;
const table = process.env.DYNAMODB_TABLE;
// Within the function's own time limit, also when the table does not answer at all.
const dynamodb = new DynamoDBClient({
  region,
  maxAttempts: 2,
  requestHandler: { connectionTimeout: 1000, requestTimeout: 2000 },
});

exports.handler = async (event) => {
  const headers = event.headers ?? {};
  const method = event.requestContext?.http?.method ?? 'GET';
  const answer = { app: process.env.PROJECT_NAME, region, role: role(), ...(await visits(method, headers)) };
  const html = (headers.accept ?? '').includes('text/html');
  return {
    statusCode: 200,
    headers: {
      'content-type': html ? 'text/html; charset=utf-8' : 'application/json',
      // A cached page would name the region that answered a minute ago.
      'cache-control': 'no-store',
      'x-served-by': region,
    },
    body: html ? page(answer) : JSON.stringify(answer),
  };
};

function role() {
  if (region === process.env.PRIMARY_REGION) return 'primary';
  return region === process.env.DR_REGION ? 'dr' : 'unknown';
}

// A table with another key, or none, costs the count and not the page.
async function visits(method, headers) {
  if (!table) return { visits: null };
  try {
    if (isVisit(method, headers)) await count();
    return { visits: await total() };
  } catch (error) {
    console.warn(`visits are not counted: ${error.name}: ${error.message}`);
    return { visits: null };
  }
}

function isVisit(method, headers) {
  const probe = (headers['user-agent'] ?? '').startsWith('multiregion-probe');
  return !probe && method !== 'HEAD' && method !== 'OPTIONS';
}

// One item a region: a global table keeps the last writer's whole item, so two regions counting on one would lose counts.
async function count() {
  await dynamodb.send(new UpdateItemCommand({
    TableName: table,
    Key: { PK: { S: 'GLOBAL' }, SK: { S: `COUNTER#${region}` } },
    UpdateExpression: 'ADD #count :one',
    ExpressionAttributeNames: { '#count': 'count' },
    ExpressionAttributeValues: { ':one': { N: '1' } },
  }));
}

// The sum over the regions, and over a plain COUNTER of before.
async function total() {
  const { Items: items } = await dynamodb.send(new QueryCommand({
    TableName: table,
    KeyConditionExpression: 'PK = :global AND begins_with(SK, :counter)',
    ExpressionAttributeValues: { ':global': { S: 'GLOBAL' }, ':counter': { S: 'COUNTER' } },
    ConsistentRead: true,
  }));
  return items.reduce((sum, item) => sum + Number(item.count?.N ?? 0), 0);
}

function page({ app, region: served, role: as, visits: seen }) {
  const count = seen === null ? 'not counted' : String(seen);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${app}</title></head>
<body><h1>${app}</h1><p>Served by <strong>${served}</strong> (${as}). Visits: <strong>${count}</strong>.</p>
<p>This is the placeholder. Upload your <code>function.zip</code> to the deployment bucket to replace it.</p></body></html>
`;
}
