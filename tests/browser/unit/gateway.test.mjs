// What the page says to the gateway over HTTP, and how long it waits between two attempts.

import assert from 'node:assert/strict';
import test from 'node:test';
import { load } from './support/pages.mjs';

const { Gateway } = await load('gateway.js');
const { Backoff } = await load('backoff.js');

const grant = { path: '/0', session: 'KEY', connections: 2 };

test('the back-off: from a quarter of a second to ten, half of it by chance', () => {
  const low = new Backoff(() => 0);
  const high = new Backoff(() => 0.9999);
  for (const full of [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]) {
    assert.equal(low.next(), full / 2);
    assert.ok(high.next() <= full);
  }
  low.reset();
  assert.equal(low.next(), 125);
});

test('the token goes in a header; answers become kinds', async () => {
  const asked = [];
  const answer = (status, value) => async (url, options) => {
    asked.push({ url, ...options });
    return new Response(JSON.stringify(value), { status });
  };
  const granted = new Gateway('http://host/base/', answer(200, grant));
  assert.deepEqual(await granted.login('disk 1', 'id:secret'), grant);
  assert.equal(asked[0].url, 'http://host/base/api/login?configuration=disk+1');
  assert.equal(asked[0].headers.Authorization, 'Bearer id:secret');
  await granted.session('KEY');
  assert.equal(asked[1].headers.Authorization, 'Bearer-Session KEY');
  assert.ok(asked.every(({ url }) => !url.includes('secret')));
  for (const [status, kind] of [
    [401, 'denied'],
    [403, 'denied'],
    [409, 'taken'],
    [400, 'refused'],
    [500, 'failed'],
  ]) {
    await assert.rejects(new Gateway('http://h/', answer(status, { error: 'why' })).login('', ''), {
      kind,
      message: /why/,
    });
  }
  assert.equal(await new Gateway('http://h/', answer(404, {})).session('KEY'), null);
  const broken = new Gateway('http://h/', async () => {
    throw new TypeError('Failed to fetch');
  });
  await assert.rejects(broken.login('', ''), { kind: 'unreachable' });
  await assert.rejects(new Gateway('http://h/', async () => new Response('<html>')).login('', ''), {
    kind: 'failed',
  });
  const url = new URL(new Gateway('https://h:1/x/', null).socketUrl('/vm/0/0/', 'ID', 3));
  assert.equal(url.href, 'wss://h:1/vm/0/0/?image=ID&connections=3');
});
