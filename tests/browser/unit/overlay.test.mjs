// The overlay against a model: plain memory that does the same. Then the page, or the machine, dies at each step.

import assert from 'node:assert/strict';
import test from 'node:test';
import { load, MemoryStore, randomBytes, seeded } from './support/pages.mjs';
import { SyncFile } from './support/sync-file.mjs';

const { Overlay } = await load('overlay.js');
const { DamagedOverlay } = await load('overlay-journal.js');
const block = 4096;
const size = 40 * block + 1000; // the last block is a short one
const identity = { size, tag: 0xabcd1234 };

class Died extends Error {}

function newFiles(options) {
  return { data: new SyncFile(options), maps: [new SyncFile(options), new SyncFile(options)] };
}

function mapped(files, change) {
  return { data: change(files.data), maps: files.maps.map(change) };
}

function whole(store) {
  const bytes = new Uint8Array(store.size);
  store.readNow(0, bytes);
  return bytes;
}

// Does one random change to all of the stores.
function change(random, ...stores) {
  const offset = Math.floor(random() * size);
  const length = 1 + Math.floor(random() * Math.min(size - offset, random() < 0.5 ? 3 * block : 300));
  const kind = random();
  if (kind < 0.6) {
    const bytes = randomBytes(length, random);
    for (const store of stores) store.write(offset, bytes);
  } else if (kind < 0.8) {
    for (const store of stores) store.zero(offset, length, { allocate: kind < 0.65 });
  } else {
    // What a trim leaves of a block that it covers in part is not said: whole blocks only.
    const first = Math.floor(offset / block) * block;
    for (const store of stores) store.trim(first, Math.min(size - first, 2 * block));
  }
  return { offset, length };
}

test('reads what was written, zeroed and trimmed, like memory; the image stays as it was', () => {
  const random = seeded(1);
  const original = randomBytes(size, random);
  const image = new MemoryStore(original.slice());
  const model = new MemoryStore(original.slice());
  const overlay = new Overlay(image, newFiles(), identity);
  for (let i = 0; i < 600; i++) {
    const { offset, length } = change(random, overlay, model);
    const part = new Uint8Array(length);
    assert.ok(overlay.tryRead(offset, part));
    assert.deepEqual(part, model.bytes.slice(offset, offset + length));
    if (i % 7 === 0) overlay.flush();
    if (i % 50 === 0) assert.deepEqual(whole(overlay), model.bytes, `after change ${i}`);
  }
  assert.deepEqual(whole(overlay), model.bytes);
  assert.deepEqual(image.bytes, original);
  assert.deepEqual(image.calls, []);
});

test('a read that waits for the image gets what was written meanwhile', async () => {
  const random = seeded(11);
  const image = new MemoryStore(randomBytes(size, random));
  const overlay = new Overlay(image, newFiles(), identity);
  const model = new MemoryStore(image.bytes.slice());
  overlay.write(0, randomBytes(100, seeded(12)));
  model.write(0, randomBytes(100, seeded(12)));
  const target = new Uint8Array(size);
  const reading = overlay.readLater(0, target);
  for (let i = 0; i < 20; i++) change(random, overlay, model);
  await reading;
  assert.deepEqual(target, model.bytes);
});

test('everything acknowledged is there after a reload, flushed or not', () => {
  const random = seeded(2);
  const image = new MemoryStore(randomBytes(size, random));
  const model = new MemoryStore(image.bytes.slice());
  let files = newFiles();
  let overlay = new Overlay(image, files, identity);
  for (let i = 0; i < 200; i++) {
    change(random, overlay, model);
    if (random() < 0.2) overlay.flush();
    if (random() < 0.2) {
      files = mapped(files, (file) => file.afterReload());
      overlay = new Overlay(image, files, identity);
      assert.deepEqual(whole(overlay), model.bytes, `after change ${i}`);
    }
  }
});

// Runs changes until the step at which it dies; returns the files, the model at the last flush, and each block's
// history.
function runUntil(step, seed) {
  const random = seeded(seed);
  let steps = 0;
  const log = () => {
    if (++steps > step) throw new Died();
  };
  const files = newFiles({ log });
  const image = new MemoryStore(randomBytes(size, seeded(7)));
  const model = new MemoryStore(image.bytes.slice());
  // Per block, what it may be: as flushed, or as any change since then left it.
  let allowed = null;
  const begin = () =>
    (allowed = Array.from({ length: 41 }, (_, i) => [model.bytes.slice(i * block, (i + 1) * block)]));
  begin();
  let survived = false;
  try {
    const overlay = new Overlay(image, files, identity);
    for (let i = 0; i < 25; i++) {
      // The model first: a change that dies half-way may be there or not.
      const before = random();
      if (before < 0.3) {
        overlay.flush();
        begin();
      } else {
        const seedOfChange = Math.floor(random() * 2 ** 31);
        change(seeded(seedOfChange), model);
        for (const [i2, states] of allowed.entries()) {
          const now = model.bytes.slice(i2 * block, (i2 + 1) * block);
          if (Buffer.compare(states[states.length - 1], now) !== 0) states.push(now);
        }
        change(seeded(seedOfChange), overlay);
      }
    }
    survived = true;
  } catch (error) {
    if (!(error instanceof Died) && !/Died|cannot be kept/.test(`${error.name} ${error.message}`)) throw error;
  }
  return { files, image, allowed, survived };
}

test('the page dies at each step: what was flushed is there, the rest is old or new, block by block', () => {
  for (let seed = 1; seed <= 3; seed++) {
    for (let step = 0; ; step++) {
      const { files, image, allowed, survived } = runUntil(step, seed);
      const overlay = new Overlay(
        image,
        mapped(files, (file) => file.afterReload()),
        identity,
      );
      expectAllowed(whole(overlay), allowed, `seed ${seed}, step ${step}`, true);
      if (survived) break;
    }
  }
});

test('the power fails at each step: what was flushed is there, the rest is old or new, block by block', () => {
  for (let seed = 1; seed <= 3; seed++) {
    for (let step = 0; ; step++) {
      const { files, image, allowed, survived } = runUntil(step, seed);
      for (let again = 0; again < 3; again++) {
        const random = seeded(seed * 100_003 + step * 17 + again);
        const after = mapped(files, (file) => file.afterPowerFailure(random));
        expectAllowed(whole(open(image, after)), allowed, `seed ${seed}, step ${step}, ${again}`, false);
      }
      if (survived) break;
    }
  }
});

function open(image, files) {
  return new Overlay(image, files, identity);
}

// A write in place to a block that was flushed before may be torn by a power failure, as on any disk: its sectors are
// each old or new. A page that dies tears at most where a change was cut off.
function expectAllowed(bytes, allowed, where, isReload) {
  for (const [i, states] of allowed.entries()) {
    const found = bytes.slice(i * block, (i + 1) * block);
    if (states.some((state) => Buffer.compare(state, found) === 0)) continue;
    const isMixed = found.every((byte, at) => states.some((state) => state[at] === byte));
    assert.ok(isMixed && (!isReload || states.length > 1), `${where}: block ${i} is neither old nor new`);
  }
}

test('a slot is not used again before the map without it is durable', () => {
  const image = new MemoryStore(new Uint8Array(size).fill(1));
  const files = newFiles();
  const overlay = new Overlay(image, files, identity);
  overlay.write(0, new Uint8Array(block).fill(2));
  overlay.flush();
  overlay.trim(0, block);
  overlay.write(5 * block, new Uint8Array(block).fill(3));
  const slots = () => [...overlay.changes()].filter(({ at }) => at !== null).map(({ at }) => at);
  assert.deepEqual(slots(), [block], 'the trimmed slot was taken at once');
  overlay.flush();
  overlay.write(6 * block, new Uint8Array(block).fill(4));
  assert.deepEqual(slots(), [block, 0], 'after the flush it is free');
});

test('no room is ENOSPC, and what was there stays readable', () => {
  const image = new MemoryStore(new Uint8Array(size).fill(1));
  const files = { data: new SyncFile({ roomBytes: 2 * block }), maps: [new SyncFile(), new SyncFile()] };
  const overlay = new Overlay(image, files, identity);
  overlay.write(0, new Uint8Array(2 * block).fill(2));
  assert.throws(() => overlay.write(4 * block, new Uint8Array(block).fill(3)), { errno: 28 });
  overlay.write(0, new Uint8Array(block).fill(5));
  const bytes = whole(overlay);
  assert.equal(bytes[0], 5);
  assert.equal(bytes[block], 2);
  assert.equal(bytes[4 * block], 1);
  overlay.flush();
});

test('a map that finds no room loses nothing once there is some', () => {
  const random = seeded(5);
  const image = new MemoryStore(new Uint8Array(size).fill(1));
  let full = false;
  const map = () =>
    new SyncFile({
      log: (step) => {
        if (full && step === 'write') throw new DOMException('full', 'QuotaExceededError');
      },
    });
  const files = { data: new SyncFile(), maps: [map(), map()] };
  const overlay = new Overlay(image, files, identity);
  full = true;
  const bytes = randomBytes(block, random);
  assert.throws(() => overlay.write(0, bytes), { errno: 28 });
  assert.throws(() => overlay.write(block, bytes), { errno: 28 });
  assert.throws(() => overlay.flush(), { errno: 28 });
  full = false;
  overlay.flush();
  const again = new Overlay(
    image,
    mapped(files, (file) => file.afterReload()),
    identity,
  );
  assert.deepEqual(whole(again), whole(overlay));
});

test('the image that changed, damage and another version are refused, not guessed at', () => {
  const image = new MemoryStore(new Uint8Array(size));
  const files = newFiles();
  new Overlay(image, files, identity).write(0, new Uint8Array(block));
  const again = () => mapped(files, (file) => file.afterReload());
  assert.throws(() => new Overlay(image, again(), { size, tag: 1 }), DamagedOverlay);
  const damaged = again();
  damaged.maps.forEach((file) => file.getSize() > 0 && file.write(new Uint8Array([1, 2, 3]), { at: 0 }));
  assert.throws(() => new Overlay(image, damaged, identity), DamagedOverlay);
});

test('changes() names every changed range once, in order, and extents() agrees', () => {
  const random = seeded(9);
  const image = new MemoryStore(randomBytes(size, random));
  const overlay = new Overlay(image, newFiles(), identity);
  const model = new MemoryStore(image.bytes.slice());
  for (let i = 0; i < 40; i++) change(random, overlay, model);
  let end = 0;
  for (const { offset, length, at } of overlay.changes()) {
    assert.ok(offset >= end && length > 0);
    end = offset + length;
    assert.ok(end <= size);
    if (at === null) assert.ok(model.bytes.subarray(offset, end).every((byte) => byte === 0));
  }
  const extents = overlay.extents(100, size - 100);
  assert.equal(
    extents.reduce((sum, { length }) => sum + length, 0),
    size - 100,
  );
  let at = 100;
  for (const { length, flags } of extents) {
    if (flags === 3) assert.ok(model.bytes.subarray(at, at + length).every((byte) => byte === 0));
    at += length;
  }
});

test('a discard of a huge disk takes little memory, little room and little time', () => {
  const hugeSize = 2 ** 40;
  const image = {
    size: hugeSize,
    readNow: (_offset, target) => target.fill(1),
    tryRead: () => true,
  };
  const files = newFiles();
  const overlay = new Overlay(image, files, { size: hugeSize, tag: 1 });
  overlay.trim(0, 2 ** 32 - block);
  overlay.zero(2 ** 32, 2 ** 31);
  overlay.flush();
  assert.ok(files.maps[0].getSize() + files.maps[1].getSize() < 4096);
  const bytes = new Uint8Array(block).fill(7);
  overlay.readNow(2 ** 32 + 2 ** 31 - block, bytes);
  assert.ok(bytes.every((byte) => byte === 0));
  overlay.readNow(2 ** 32 - block, bytes);
  assert.ok(bytes.every((byte) => byte === 1));
});

test('a journal that grows is written anew', () => {
  const image = new MemoryStore(new Uint8Array(size));
  const files = newFiles();
  const overlay = new Overlay(image, files, identity);
  const bytes = new Uint8Array(20 * block).fill(3);
  for (let i = 0; i < 20; i++) overlay.write(0, bytes);
  const before = Math.max(...files.maps.map((file) => file.getSize()));
  const after = mapped(files, (file) => file.afterReload());
  const again = new Overlay(image, after, identity);
  assert.ok(Math.max(...after.maps.map((file) => file.getSize())) < before / 10);
  assert.deepEqual(whole(again), whole(overlay));
});
