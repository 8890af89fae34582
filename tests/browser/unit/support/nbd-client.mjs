// An NBD client's half of the wire, to talk to the page's server without a network.

import assert from 'node:assert/strict';
import { load, MemoryStore, randomBytes, seeded } from './pages.mjs';

const { NbdConnection } = await load('nbd-server.js');
const { magic, option, pack, setU64, viewOf } = await load('nbd-wire.js');

export const size = 1 << 20;
const contents = randomBytes(size, seeded(3));
export const newStore = () => new MemoryStore(contents.slice());

export function joined(pieces) {
  return new Uint8Array(Buffer.concat(pieces));
}

export function connect(store = newStore(), hooks = {}) {
  const sent = [];
  const ends = [];
  const failures = [];
  const connection = new NbdConnection(
    store,
    { name: 'disk', description: 'a test' },
    {
      send: (bytes) => sent.push(bytes.slice()),
      end: (error) => ends.push(error),
      failed: (error) => failures.push(error),
      ...hooks,
    },
  );
  connection.start();
  const output = () => joined(sent);
  const take = () => joined(sent.splice(0));
  return { connection, output, take, ends, failures, store };
}

export const clientFlags = pack(3);
export const optionBytes = (id, data = new Uint8Array(0)) => pack(...magic.option, id, data.length, data);
export const go = (...types) =>
  optionBytes(option.go, pack(0, { u16: types.length }, ...types.map((type) => ({ u16: type }))));

export function request(what, offset, length, { flags = 0, cookie = 1, payload = new Uint8Array(0) } = {}) {
  const head = new Uint8Array(28);
  const view = viewOf(head);
  view.setUint32(0, magic.request);
  view.setUint16(4, flags);
  view.setUint16(6, what);
  view.setUint32(8, 0xdeadbeef);
  view.setUint32(12, cookie);
  setU64(view, 16, offset);
  view.setUint32(24, length);
  return joined([head, payload]);
}

// A connection in the transmission phase, its handshake's output taken away.
export function attached(store, { structured = false, hooks = {} } = {}) {
  const peer = connect(store, hooks);
  peer.connection.receive(clientFlags);
  if (structured) peer.connection.receive(optionBytes(option.structuredReply));
  if (structured) peer.connection.receive(optionBytes(option.setMetaContext, pack(0, 1, 15, 'base:allocation')));
  peer.connection.receive(go());
  peer.take();
  return peer;
}

export function optionReplies(bytes) {
  const replies = [];
  for (let at = 0; at < bytes.length;) {
    const view = viewOf(bytes.subarray(at));
    assert.equal(view.getUint32(0), magic.optionReply[0]);
    const length = view.getUint32(16);
    replies.push({
      option: view.getUint32(8),
      type: view.getUint32(12),
      data: bytes.slice(at + 20, at + 20 + length),
    });
    at += 20 + length;
  }
  return replies;
}

export function simpleReply(bytes) {
  const view = viewOf(bytes);
  assert.equal(view.getUint32(0), magic.simpleReply);
  assert.equal(view.getUint32(8), 0xdeadbeef);
  return { error: view.getUint32(4), cookie: view.getUint32(12), data: bytes.slice(16) };
}

export function ask(peer, ...details) {
  peer.connection.receive(request(...details));
  return simpleReply(peer.take());
}
