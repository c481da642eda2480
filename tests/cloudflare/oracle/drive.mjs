// Drives the emulator with Cloudflare's own SDK, and holds every answer to the SDK's types.
import assert from 'node:assert/strict';

const { default: Cloudflare } = await import(process.env.SDK);
const { ACCOUNT: account_id, JOBS, DEAD, TOKEN, BASE_URL } = process.env;
const client = new Cloudflare({ apiToken: TOKEN, baseURL: BASE_URL });
const { queues } = client;
const { messages } = queues;

// Looking.
const queue = await queues.get(JOBS, { account_id });
assert.equal(queue.queue_id, JOBS);
assert.equal(queue.queue_name, 'jobs');
assert.equal(queue.settings.message_retention_period, 345_600);
assert.equal(queue.settings.delivery_delay, 0);
const consumers = [];
for await (const consumer of queues.consumers.list(JOBS, { account_id })) consumers.push(consumer);
assert.equal(consumers.length, 1);
assert.equal(consumers[0].type, 'http_pull');
assert.equal(consumers[0].settings.max_retries, 3);
assert.equal(consumers[0].settings.visibility_timeout_ms, 30_000);
assert.equal(consumers[0].dead_letter_queue, 'jobs-dead');
const names = [];
for await (const { queue_name } of queues.list({ account_id })) names.push(queue_name);
assert.deepEqual(names, ['jobs', 'jobs-dead']);

// Sending.
const pushed = await messages.push(JOBS, { account_id, body: 'grüß', content_type: 'text' });
assert.equal(pushed.metadata.metrics.backlog_count, 1);
await messages.push(JOBS, { account_id, body: { a: 1 } });
await messages.bulkPush(JOBS, {
  account_id,
  messages: [
    { body: 'batched', content_type: 'text' },
    { body: 'delayed', content_type: 'text', delay_seconds: 600 },
  ],
});
const metrics = await queues.getMetrics(JOBS, { account_id });
assert.equal(metrics.backlog_count, 4);
assert.equal(metrics.backlog_bytes, 6 + 7 + 7 + 7);

// Pulling.
const pulled = await messages.pull(JOBS, { account_id, batch_size: 100, visibility_timeout_ms: 60_000 });
assert.equal(pulled.message_backlog_count, 4);
assert.equal(pulled.metadata.metrics.backlog_count, 4);
for (const { id, attempts, lease_id, timestamp_ms, metadata } of pulled.messages) {
  assert.equal(typeof id, 'string');
  assert.equal(typeof lease_id, 'string');
  assert.equal(attempts, 1);
  assert.ok(Math.abs(Date.now() - timestamp_ms) < 600_000);
  assert.ok(['text', 'json'].includes(metadata['CF-Content-Type']));
}
assert.equal((await messages.pull(JOBS, { account_id })).messages.length, 0);

// Settling.
const [first, second, third] = pulled.messages;
const settled = await messages.ack(JOBS, {
  account_id,
  acks: [first, second].map(({ lease_id }) => ({ lease_id })),
  retries: [{ lease_id: third.lease_id, delay_seconds: 60 }],
});
assert.deepEqual(settled, { ackCount: 2, retryCount: 1, warnings: {} });
const unknown = await messages.ack(JOBS, { account_id, acks: [{ lease_id: 'nonsense' }] });
assert.equal(unknown.ackCount, 0);
assert.deepEqual(Object.keys(unknown.warnings), ['nonsense']);

// Bytes come in base64.
const { messages: dead } = await messages.pull(DEAD, { account_id });
assert.equal(dead[0].body, Buffer.from([0xff, 0]).toString('base64'));

// Errors.
const refused = async (type, status, code, call) => {
  await assert.rejects(call, (error) => {
    assert.ok(error instanceof type, String(error));
    assert.equal(error.status, status);
    assert.equal(error.errors[0].code, code);
    return true;
  });
};
const stranger = new Cloudflare({ apiToken: 'unknown', baseURL: BASE_URL });
await refused(Cloudflare.AuthenticationError, 401, 10_000, () => stranger.queues.get(JOBS, { account_id }));
await refused(Cloudflare.PermissionDeniedError, 403, 10_000, () => queues.list({ account_id: 'other' }));
await refused(Cloudflare.NotFoundError, 404, 11_000, () => queues.getMetrics('ffff', { account_id }));
await refused(Cloudflare.NotFoundError, 404, 10_104, () => messages.pull('ffff', { account_id }));
await refused(Cloudflare.BadRequestError, 400, 10_207, () => messages.pull(JOBS, { account_id, batch_size: 101 }));
await refused(Cloudflare.APIError, 413, 10_204, () =>
  messages.push(JOBS, { account_id, body: 'x'.repeat(128_001), content_type: 'text' }),
);

console.log(JSON.stringify({ bodies: pulled.messages.map(({ body }) => body) }));
