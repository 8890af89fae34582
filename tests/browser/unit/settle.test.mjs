// Two connections of one image, when one takes over from the other: what the old one held back may not be done after
// what the new one was asked.

import assert from 'node:assert/strict';
import test from 'node:test';
import { attached, joined, newStore, request, simpleReply } from './support/nbd-client.mjs';
import { load } from './support/pages.mjs';

const { command } = await load('nbd-wire.js');

const write = (value, cookie) => request(command.write, 512, 4, { cookie, payload: new Uint8Array(4).fill(value) });
const read = (cookie) => request(command.read, 512, 4, { cookie });
const stored = (store) => {
  const bytes = new Uint8Array(4);
  store.tryRead(512, bytes);
  return [...bytes];
};

// A connection that has been asked, and cannot reply for the time being.
function heldBack(store, ...requests) {
  const gate = { isOpen: false };
  const peer = attached(store, { hooks: { mayReply: () => gate.isOpen } });
  peer.connection.receive(joined(requests));
  return { ...peer, gate };
}

test('a write that was held back is done before those of the connection that takes over', () => {
  const store = newStore();
  const old = heldBack(store, read(1), write(7, 2), write(8, 3), read(4));
  assert.notDeepEqual(stored(store), [8, 8, 8, 8], 'nothing was held back');
  const other = attached(store, { hooks: { ready: () => old.connection.settle() } });
  assert.deepEqual(stored(store), [8, 8, 8, 8]);
  other.connection.receive(write(9, 5));
  old.gate.isOpen = true;
  old.connection.resume();
  assert.deepEqual(stored(store), [9, 9, 9, 9]);
  const replies = old.take();
  assert.deepEqual([0, 16, 32, 52].map((at) => simpleReply(replies.subarray(at)).cookie), [2, 3, 1, 4]);
});

test('behind reads that wait for the disk, too', async () => {
  const store = newStore();
  const length = 1 << 20;
  let finish;
  const disk = new Promise((resolve) => { finish = resolve; });
  store.tryRead = () => false;
  store.readLater = () => disk;
  const old = attached(store);
  const reads = Array.from({ length: 16 }, (_, cookie) => request(command.read, 0, length, { cookie }));
  old.connection.receive(joined([...reads, write(7, 99)]));
  assert.deepEqual(store.calls, []);
  old.connection.settle();
  assert.deepEqual(store.calls, ['write']);
  finish();
  await disk;
});

test('a connection that is over does nothing more', () => {
  const store = newStore();
  const before = stored(store);
  const old = heldBack(store, write(7, 1));
  old.connection.ended = true;
  old.gate.isOpen = true;
  old.connection.settle();
  old.connection.resume();
  assert.deepEqual(stored(store), before);
});

test('a write of which a part is missing waits for the rest', () => {
  const store = newStore();
  const before = stored(store);
  const old = heldBack(store, write(7, 1).subarray(0, 30));
  old.connection.settle();
  assert.deepEqual(stored(store), before);
});

test('reads are not collected without end', () => {
  const old = heldBack(newStore(), ...Array.from({ length: 5000 }, (_, cookie) => read(cookie)));
  old.connection.settle();
  assert.match(old.ends[0].message, /more reads/);
});
