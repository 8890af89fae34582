// Reading an image: the right bytes whatever is cached, ahead or on its way; few calls; bounded memory; honest
// failures.

import assert from 'node:assert/strict';
import test from 'node:test';
import { load, randomBytes, seeded } from './support/pages.mjs';

const { Image } = await load('image.js');
const { BlockCache } = await load('block-cache.js');
const { ReadStreams } = await load('read-streams.js');

const size = 5_000_000;
const bytes = randomBytes(size, seeded(1));

// A File of these bytes, and a reader that counts and can be held up.
function world(options) {
  const here = { now: 0, later: [], isHeld: false, fails: false, isShort: false };
  const file = { size, slice: (from, to) => ({ from, to }) };
  const take = ({ from, to }) => {
    if (here.fails) throw new DOMException('gone', 'NotReadableError');
    return bytes.slice(from, here.isShort ? to - 1 : to).buffer;
  };
  const reader = {
    now: (blob) => {
      here.now++;
      return take(blob);
    },
    later: (blob) =>
      new Promise((resolve, reject) => {
        const arrive = () => {
          try {
            resolve(take(blob));
          } catch (error) {
            reject(error);
          }
        };
        here.later.push({ ...blob, arrive });
        if (!here.isHeld) setImmediate(arrive);
      }),
  };
  here.image = new Image(file, reader, options);
  return here;
}

async function read(image, offset, length) {
  const target = new Uint8Array(length);
  if (!image.tryRead(offset, target)) await image.readLater(offset, target);
  return target;
}

test('random and sequential reads give the image, with a cache of any size', async () => {
  for (const cacheBytes of [0, 100_000, 64 << 20]) {
    const { image } = world({ cacheBytes });
    const random = seeded(2);
    for (let i = 0; i < 300; i++) {
      const offset = Math.floor(random() * size);
      const length = Math.min(size - offset, Math.floor(random() * (i % 10 === 0 ? 3_000_000 : 100_000)));
      assert.deepEqual(await read(image, offset, length), bytes.slice(offset, offset + length));
    }
    for (let at = 0; at < size; at += 65_536) {
      const length = Math.min(65_536, size - at);
      assert.deepEqual(await read(image, at, length), bytes.slice(at, at + length));
    }
  }
});

test('a sequential reader finds its data there: hardly a call of its own', async () => {
  const here = world();
  for (let at = 0; at + 4096 <= size; at += 4096) await read(here.image, at, 4096);
  assert.equal(here.now, 0, 'calls that held everything up');
  assert.ok(here.later.length < 30, `${here.later.length} calls ahead`);
});

test('who wants what is on its way waits for it, instead of reading it twice', async () => {
  const here = world();
  here.isHeld = true;
  here.image.prefetch(100_000, 200_000);
  assert.equal(here.later.length, 1);
  const target = new Uint8Array(1000);
  assert.equal(here.image.tryRead(150_000, target), false);
  const waiting = here.image.readLater(150_000, target);
  here.later.forEach(({ arrive }) => arrive());
  await waiting;
  assert.deepEqual(target, bytes.slice(150_000, 151_000));
  assert.deepEqual([here.later.length, here.now], [1, 0]);
});

test('a prefetch that fails is no harm: the read itself tells', async () => {
  const here = world();
  here.isHeld = true;
  here.image.prefetch(0, 200_000);
  const target = new Uint8Array(100);
  assert.equal(here.image.tryRead(0, target), false);
  const waiting = here.image.readLater(0, target);
  here.fails = true;
  here.isHeld = false;
  here.later.forEach(({ arrive }) => arrive());
  await assert.rejects(waiting, { errno: 5, message: /NotReadableError/ });
  here.fails = false;
  assert.deepEqual(await read(here.image, 0, 100), bytes.slice(0, 100));
});

test('readers at once are read for at once', async () => {
  const here = world();
  here.isHeld = true;
  const places = [0, 1_000_000, 2_000_000, 3_000_000];
  const reads = places.map((at) => read(here.image, at, at === 0 ? 400_000 : 4096));
  assert.equal(here.later.length, 4);
  here.later.forEach(({ arrive }) => arrive());
  for (const [i, found] of (await Promise.all(reads)).entries()) {
    assert.deepEqual(found, bytes.slice(places[i], places[i] + found.length));
  }
  assert.deepEqual([here.later.length, here.now], [4, 0]);
});

test('a file that is gone or shorter is EIO', async () => {
  const here = world();
  here.fails = true;
  await assert.rejects(read(here.image, 0, 10), { errno: 5 });
  await assert.rejects(read(here.image, 0, 1_000_000), { errno: 5 });
  assert.throws(() => here.image.readNow(0, new Uint8Array(10)), { errno: 5 });
  here.fails = false;
  here.isShort = true;
  await assert.rejects(read(here.image, 0, 10), { errno: 5, message: /shorter/ });
  assert.throws(() => here.image.readNow(0, new Uint8Array(10)), { errno: 5, message: /shorter/ });
});

test('what is fetched ahead is bounded', () => {
  const here = world();
  here.isHeld = true;
  for (let at = 0; at < size; at += 300_000) here.image.prefetch(at, 300_000);
  const total = here.later.reduce((sum, { from, to }) => sum + to - from, 0);
  assert.ok(total <= 17 << 20);
  assert.ok(here.later.every(({ from, to }) => to - from <= 1 << 20));
});

test('the cache drops the least recently used, and stays in its bounds', () => {
  const cache = new BlockCache(300);
  for (const number of [1, 2, 3]) cache.put(number, new Uint8Array(100));
  cache.get(1);
  cache.put(4, new Uint8Array(100));
  assert.deepEqual(
    [1, 2, 3, 4].map((number) => cache.has(number)),
    [true, false, true, true],
  );
  cache.put(4, new Uint8Array(50));
  assert.equal(cache.bytes, 250);
});

test('streams: two readers at once, a little out of order; random readers get nothing ahead', () => {
  const streams = new ReadStreams();
  let ahead = 0;
  for (let i = 0; i < 20; i++) {
    for (const base of [0, 1_000_000_000]) {
      const order = i % 2 ? i - 1 : i + 1;
      if (streams.note(base + order * 65_536, 65_536)) ahead++;
    }
  }
  assert.ok(ahead >= 4, `${ahead} times ahead`);
  const random = seeded(3);
  const scattered = new ReadStreams();
  let wrong = 0;
  for (let i = 0; i < 500; i++) if (scattered.note(Math.floor(random() * 2 ** 40), 4096)) wrong++;
  assert.equal(wrong, 0);
});
