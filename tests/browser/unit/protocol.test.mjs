// The page's NBD server without a network: requests and replies, and the whole at every split of the input.

import assert from 'node:assert/strict';
import test from 'node:test';
import {
  ask,
  attached,
  clientFlags,
  connect,
  go,
  joined,
  newStore,
  optionBytes,
  request,
  simpleReply,
  size,
} from './support/nbd-client.mjs';
import { load, randomBytes, seeded } from './support/pages.mjs';

const { command, commandFlag, errno, getU64, magic, option, pack, StoreError, viewOf } = await load('nbd-wire.js');

test('every command has its effect and its reply', () => {
  const store = newStore();
  const peer = attached(store);
  const payload = randomBytes(1000, seeded(4));
  assert.equal(ask(peer, command.write, 500, 1000, { payload, flags: commandFlag.fua }).error, 0);
  assert.deepEqual(store.calls.splice(0), ['write', 'flush']);
  assert.deepEqual(ask(peer, command.read, 500, 1000, { cookie: 77 }), { error: 0, cookie: 77, data: payload });
  const effects = [
    [command.flush, 0, 0, {}, ['flush']],
    [command.trim, 0, 4096, {}, ['trim']],
    [command.trim, 0, 4096, { flags: commandFlag.fua }, ['trim', 'flush']],
    [command.writeZeroes, 0, 4096, { flags: commandFlag.fastZero }, ['zero']],
    [command.writeZeroes, 0, 4096, { flags: commandFlag.noHole }, ['allocate']],
    [command.cache, 0, 4096, {}, ['prefetch']],
    [command.read, 0, 0, {}, []],
    [command.write, 0, 0, {}, []],
  ];
  for (const [what, offset, length, details, calls] of effects) {
    assert.equal(ask(peer, what, offset, length, details).error, 0, `command ${what}`);
    assert.deepEqual(store.calls.splice(0), calls, `command ${what}`);
  }
});

test('the right errno for everything that is refused', () => {
  const peer = attached();
  const refused = [
    [command.read, size, 1, {}, errno.invalid],
    [command.read, size - 10, 11, {}, errno.invalid],
    [command.read, 2 ** 63, 1, {}, errno.invalid],
    [command.read, 0, (32 << 20) + 1, {}, errno.overflow],
    [command.write, size, 4, { payload: pack(1) }, errno.noSpace],
    [command.writeZeroes, size, 1, {}, errno.noSpace],
    [command.trim, size, 1, {}, errno.invalid],
    [command.flush, 1, 0, {}, errno.invalid],
    [99, 0, 0, {}, errno.invalid],
    [command.blockStatus, 0, 10, {}, errno.invalid],
    [command.read, 0, 10, { flags: commandFlag.df }, errno.invalid],
    [command.read, 0, 10, { flags: 0x8000 }, errno.invalid],
    [command.writeZeroes, 0, 1, { flags: commandFlag.fastZero | commandFlag.noHole }, errno.notSupported],
  ];
  for (const [what, offset, length, details, code] of refused) {
    assert.equal(ask(peer, what, offset, length, details).error, code, `command ${what} ${offset} ${length}`);
  }
  assert.deepEqual(peer.store.calls, []);
  assert.equal(ask(peer, command.read, 0, 10).data.length, 10, 'and the stream is still in step');
});

test('a read-only export refuses every change, and takes a flush', () => {
  const store = newStore();
  store.readOnly = true;
  const peer = attached(store);
  assert.equal(ask(peer, command.write, 0, 4, { payload: pack(1) }).error, errno.perm);
  assert.equal(ask(peer, command.trim, 0, 4).error, errno.perm);
  assert.equal(ask(peer, command.writeZeroes, 0, 4).error, errno.perm);
  assert.equal(ask(peer, command.flush, 0, 0).error, 0);
  assert.equal(ask(peer, command.read, 0, 4, { flags: commandFlag.fua }).error, 0);
});

test('a write above the limit is skipped and refused, one that cannot be is the end', () => {
  const peer = attached();
  const length = (32 << 20) + 1;
  peer.connection.receive(request(command.write, 0, length));
  for (let left = length; left > 0; left -= 1 << 20) peer.connection.receive(new Uint8Array(Math.min(left, 1 << 20)));
  assert.equal(simpleReply(peer.take()).error, errno.overflow);
  assert.equal(ask(peer, command.read, 0, 1).error, 0);
  peer.connection.receive(request(command.write, 0, 0xffffffff));
  assert.match(peer.ends[0].message, /4294967295/);
});

test('what the store throws: its errno, or EIO; and somebody is told', () => {
  const store = newStore();
  store.write = () => {
    throw new StoreError(errno.noSpace, 'full');
  };
  store.tryRead = () => {
    throw new Error('gone');
  };
  const peer = attached(store);
  assert.equal(ask(peer, command.write, 0, 4, { payload: pack(1) }).error, errno.noSpace);
  assert.equal(ask(peer, command.read, 0, 4).error, errno.io);
  assert.deepEqual(
    peer.failures.map(({ message }) => message),
    ['full', 'gone'],
  );
});

test('structured replies: data, an empty read, an error, block status', () => {
  const store = newStore();
  const peer = attached(store, { structured: true });
  peer.connection.receive(request(command.read, 512, 100));
  const data = peer.take();
  assert.deepEqual(
    [viewOf(data).getUint32(0), viewOf(data).getUint16(4), viewOf(data).getUint16(6), viewOf(data).getUint32(16)],
    [magic.structuredReply, 1, 1, 108],
  );
  assert.equal(getU64(viewOf(data), 20), 512);
  assert.deepEqual(data.slice(28), store.bytes.slice(512, 612));
  peer.connection.receive(request(command.read, 0, 0));
  assert.equal(peer.take().length, 20);
  peer.connection.receive(request(command.read, size, 1));
  const error = peer.take();
  assert.deepEqual(
    [viewOf(error).getUint16(6), viewOf(error).getUint32(16), viewOf(error).getUint32(20)],
    [0x8001, 6, 22],
  );
  peer.connection.receive(request(command.blockStatus, 0, 1000));
  const status = peer.take();
  assert.deepEqual(
    [20, 24, 28, 32, 36].map((at) => viewOf(status).getUint32(at)),
    [1, 500, 0, 500, 3],
  );
  peer.connection.receive(request(command.blockStatus, 0, 1000, { flags: commandFlag.reqOne }));
  assert.equal(peer.take().length, 32);
});

// Everything that a client may send in one connection, for the splits.
const conversation = joined([
  clientFlags,
  optionBytes(option.list),
  optionBytes(option.structuredReply),
  optionBytes(option.setMetaContext, pack(0, 1, 15, 'base:allocation')),
  optionBytes(7, new Uint8Array(70_000)),
  go(3),
  request(command.write, 100, 300, { payload: randomBytes(300, seeded(5)), cookie: 2 }),
  request(command.read, 90, 400, { cookie: 3 }),
  request(command.write, size, 20, { payload: new Uint8Array(20), cookie: 4 }),
  request(command.blockStatus, 0, 4096, { cookie: 5 }),
  request(command.flush, 0, 0, { cookie: 6 }),
  request(command.disconnect, 0, 0),
]);

function talk(pieces) {
  const peer = connect();
  for (const piece of pieces) peer.connection.receive(piece);
  assert.deepEqual(peer.ends, [null]);
  return Buffer.from(peer.output()).toString('base64');
}

test('the answers are the same at every split of the input', () => {
  const whole = talk([conversation]);
  const interesting = [...Array(conversation.length).keys()].filter((at) => at < 300 || at > 70_100);
  for (const at of interesting)
    assert.equal(talk([conversation.slice(0, at), conversation.slice(at)]), whole, `split at ${at}`);
  const random = seeded(6);
  for (let i = 0; i < 50; i++) {
    const pieces = [];
    for (let at = 0; at < conversation.length;) {
      const next = at + 1 + Math.floor(random() * (i < 25 ? 40 : 20_000));
      pieces.push(conversation.slice(at, next));
      at = next;
    }
    assert.equal(talk(pieces), whole);
  }
  assert.equal(talk(Array.from(conversation, (byte) => Uint8Array.of(byte))), whole);
});

test('random bytes never throw, and never get more than a bounded answer', () => {
  const random = seeded(8);
  for (let i = 0; i < 300; i++) {
    const peer = i % 2 ? attached() : connect();
    const bytes = randomBytes(200, random);
    if (i % 3 === 0) bytes.set(i % 2 ? pack(magic.request) : joined([clientFlags, pack(...magic.option)]));
    peer.connection.receive(bytes);
    assert.ok(peer.output().length < 1 << 20);
  }
});

test('requests of one message are answered in one message', () => {
  const sent = [];
  const peer = attached(newStore(), { hooks: { send: (bytes) => sent.push(bytes.length) } });
  sent.length = 0;
  peer.connection.receive(joined([1, 2, 3].map((cookie) => request(command.read, 0, 4096, { cookie }))));
  assert.deepEqual(sent, [3 * 4112]);
});

test('while nothing may be sent nothing is read from the store; resume() goes on', () => {
  let may = false;
  const peer = attached(newStore(), { hooks: { mayReply: () => may } });
  peer.connection.receive(joined([request(command.read, 0, 100), request(command.read, 0, 100)]));
  assert.equal(peer.take().length, 0);
  may = true;
  peer.connection.resume();
  assert.equal(peer.take().length, 232);
});

test('who sends more than anybody waits for is cut off', () => {
  const peer = attached(newStore(), { hooks: { mayReply: () => false } });
  for (let i = 0; i < 200 && peer.ends.length === 0; i++) peer.connection.receive(new Uint8Array(1 << 20));
  assert.match(peer.ends[0].message, /more requests/);
});

test('a read that waits is overtaken, and bounded in bytes', async () => {
  const store = newStore();
  const waiting = [];
  store.tryRead = (offset, target) => offset === 0 && target.fill(9) && true;
  store.readLater = (offset, target) =>
    new Promise((resolve, reject) => waiting.push({ offset, target, resolve, reject }));
  const peer = attached(store);
  peer.connection.receive(
    joined([request(command.read, 4096, 10, { cookie: 1 }), request(command.read, 0, 10, { cookie: 2 })]),
  );
  assert.equal(simpleReply(peer.take()).cookie, 2);
  waiting[0].target.fill(7);
  waiting[0].resolve();
  await null;
  await null;
  assert.deepEqual(simpleReply(peer.take()), { error: 0, cookie: 1, data: new Uint8Array(10).fill(7) });
  peer.connection.receive(request(command.read, 4096, 10, { cookie: 3 }));
  waiting[1].reject(new StoreError(errno.io, 'gone'));
  await null;
  await null;
  assert.equal(simpleReply(peer.take()).error, errno.io);
  for (let cookie = 4; cookie < 44; cookie++)
    peer.connection.receive(request(command.read, 4096, 900_000, { cookie }));
  assert.ok(waiting.length <= 2 + 19, `${waiting.length} reads wait at once`);
});
