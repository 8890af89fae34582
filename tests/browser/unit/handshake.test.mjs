// The page's NBD server without a network: the handshake, with everything that a client may ask or get wrong.

import assert from 'node:assert/strict';
import test from 'node:test';
import {
  attached,
  clientFlags,
  connect,
  go,
  joined,
  optionBytes,
  optionReplies,
  size,
} from './support/nbd-client.mjs';
import { load } from './support/pages.mjs';

const { getU64, magic, option, optionReply, pack, viewOf } = await load('nbd-wire.js');

test('greets as the original page does', () => {
  assert.equal(Buffer.from(connect().output()).toString('hex'), '4e42444d4147494349484156454f50540003');
});

test('EXPORT_NAME: 10 bytes, 134 without NO_ZEROES', () => {
  for (const [flags, length] of [
    [3, 10],
    [1, 134],
  ]) {
    const peer = connect();
    peer.take();
    peer.connection.receive(joined([pack(flags), optionBytes(option.exportName, pack('anything'))]));
    const reply = peer.take();
    assert.equal(reply.length, length);
    assert.equal(getU64(viewOf(reply), 0), size);
    assert.equal(viewOf(reply).getUint16(8), 1 | 4 | 8 | 32 | 64 | 256 | 1024 | 2048);
  }
});

test('GO tells size, flags, name, description and block sizes, as asked', () => {
  const peer = connect();
  peer.take();
  peer.connection.receive(joined([clientFlags, go(1, 2, 3)]));
  const replies = optionReplies(peer.take());
  assert.deepEqual(
    replies.map(({ type }) => type),
    [3, 3, 3, 3, 1],
  );
  assert.equal(Buffer.from(replies[1].data.slice(2)).toString(), 'disk');
  assert.equal(Buffer.from(replies[2].data.slice(2)).toString(), 'a test');
  assert.deepEqual(
    [2, 6, 10].map((at) => viewOf(replies[3].data).getUint32(at)),
    [1, 4096, 32 << 20],
  );
});

test('LIST, INFO, ABORT and what nobody knows', () => {
  const peer = connect();
  peer.take();
  peer.connection.receive(
    joined([clientFlags, optionBytes(option.list), optionBytes(option.starttls), optionBytes(99)]),
  );
  const replies = optionReplies(peer.take());
  assert.deepEqual(
    replies.map(({ type }) => type),
    [optionReply.server, 1, 0x80000001, 0x80000001],
  );
  peer.connection.receive(optionBytes(option.info, pack(0, { u16: 0 })));
  assert.deepEqual(
    optionReplies(peer.take()).map(({ type }) => type),
    [3, 1],
  );
  peer.connection.receive(optionBytes(option.abort));
  assert.deepEqual(
    optionReplies(peer.take()).map(({ type }) => type),
    [1],
  );
  assert.deepEqual(peer.ends, [null]);
});

test('options that do not add up are invalid, long ones too big, endless ones out of step', () => {
  const peer = connect();
  peer.take();
  peer.connection.receive(clientFlags);
  const bad = [
    optionBytes(option.list, pack('x')),
    optionBytes(option.go, pack(9)),
    optionBytes(option.go, pack(0, { u16: 2 })),
    optionBytes(option.structuredReply, pack('x')),
    optionBytes(option.setMetaContext, pack(0, 1, 4, 'base')),
    optionBytes(option.info, pack(0xffffffff, { u16: 0 })),
  ];
  for (const bytes of bad) {
    peer.connection.receive(bytes);
    assert.deepEqual(
      optionReplies(peer.take()).map(({ type }) => type),
      [0x80000003],
    );
  }
  peer.connection.receive(optionBytes(option.structuredReply));
  peer.take();
  for (const data of [pack(0, 2, 4, 'base'), pack(0, 1, 99, 'base'), pack(0, 0xffffffff)]) {
    peer.connection.receive(optionBytes(option.setMetaContext, data));
    assert.deepEqual(
      optionReplies(peer.take()).map(({ type }) => type),
      [0x80000003],
    );
  }
  peer.connection.receive(optionBytes(7, new Uint8Array(100_000)));
  assert.deepEqual(
    optionReplies(peer.take()).map(({ type }) => type),
    [0x80000009],
  );
  peer.connection.receive(pack(...magic.option, 7, 0x7fffffff));
  assert.match(peer.ends[0].message, /2147483647/);
});

test('a client that never ends its options is sent away', () => {
  const peer = connect();
  peer.connection.receive(clientFlags);
  for (let i = 0; i < 300; i++) peer.connection.receive(optionBytes(99));
  assert.match(peer.ends[0].message, /too many/);
});

test('wrong magic and unknown client flags end the connection', () => {
  for (const bytes of [pack(0x10), joined([clientFlags, new Uint8Array(16)])]) {
    const peer = connect();
    peer.connection.receive(bytes);
    assert.ok(peer.ends[0] instanceof Error);
  }
  const peer = attached();
  peer.connection.receive(new Uint8Array(28));
  assert.match(peer.ends[0].message, /magic/);
});
