// Is the stand-in for nbd.js what it claims to be? Byte for byte against what was recorded of the original.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { NodeFile, nodeEnvironment } from './support/original-node.mjs';
import { OriginalServer } from './support/original-server.mjs';

const folder = mkdtempSync(join(tmpdir(), 'nbdring-original.'));
const image = join(folder, 'image');
writeFileSync(image, Buffer.from(Array.from({ length: 4096 }, (_, at) => at % 251)));
test.after(() => rmSync(folder, { recursive: true }));

// What it is given as a websocket: keeps what is sent.
class Wire {
  constructor() {
    this.sent = [];
    this.closedWith = null;
  }

  send(bytes) {
    this.sent.push(Buffer.from(bytes).toString('hex'));
  }

  close(...how) {
    this.closedWith = how;
  }

  deliver(hex) {
    this.onmessage({ data: new Uint8Array(Buffer.from(hex, 'hex')).buffer });
  }
}

function start() {
  const environment = { ...nodeEnvironment, WebSocket: Wire };
  const server = new OriginalServer('ws://unused', new NodeFile(image), environment);
  server.start();
  server.socket.onopen();
  return server.socket;
}

const option = (number, data = '') =>
  `49484156454f5054${number.toString(16).padStart(8, '0')}${(data.length / 2).toString(16).padStart(8, '0')}${data}`;
const request = (command, cookie, offset, length) => '25609513' + '0000' + command.toString(16).padStart(4, '0') +
  cookie.toString(16).padStart(16, '0') + offset.toString(16).padStart(16, '0') + length.toString(16).padStart(8, '0');
const reply = (error, cookie) =>
  '67446698' + error.toString(16).padStart(8, '0') + cookie.toString(16).padStart(16, '0');

function startTransmission(flags = '00000003') {
  const wire = start();
  wire.deliver(flags);
  wire.deliver(option(1));
  wire.sent.splice(0, 2);
  return wire;
}

const pause = () => new Promise((resolve) => { setTimeout(resolve, 20); });

test('it speaks first: 18 bytes in one message', () => {
  assert.deepEqual(start().sent, ['4e42444d4147494349484156454f50540003']);
});

test('every option but EXPORT_NAME is unsupported, ABORT too, and nothing ends', () => {
  const wire = start();
  wire.deliver('00000001');
  for (const number of [2, 3, 5, 6, 7, 8, 10, 11]) {
    wire.sent = [];
    wire.deliver(option(number, '00000000'));
    assert.deepEqual(wire.sent, [`0003e889045565a9${number.toString(16).padStart(8, '0')}8000000100000000`]);
  }
  assert.equal(wire.closedWith, null);
});

test('EXPORT_NAME takes any name; the client decides on the zeroes', () => {
  for (const [flags, zeroes] of [['00000003', 0], ['00000001', 124]]) {
    const wire = start();
    wire.deliver(flags);
    wire.deliver(option(1, '6e616d65'));
    assert.equal(wire.sent[1], '00000000000010000003' + '00'.repeat(zeroes));
  }
});

test('refusals have the errors of the original', () => {
  const wire = startTransmission();
  const cases = [[0, 4095, 2, 28], [1, 0, 4, 1], [4, 0, 512, 1], [3, 0, 0, 22], [6, 0, 512, 22]];
  for (const [command, offset, length, error] of cases) {
    wire.sent = [];
    wire.deliver(request(command, 9, offset, length) + (command === 1 ? '00000000' : ''));
    assert.deepEqual(wire.sent, [reply(error, 9)]);
  }
});

test('one message per reply, the small ones first', async () => {
  const wire = startTransmission();
  wire.deliver(request(0, 1, 0, 2048) + request(0, 2, 251, 3));
  await pause();
  assert.deepEqual(wire.sent.map((message) => message.length / 2), [19, 2064]);
  assert.equal(wire.sent[0], `${reply(0, 2)}000102`);
});

test('the borders of what arrives mean nothing', async () => {
  const wire = startTransmission();
  for (const byte of request(0, 1, 0, 4).match(/../g)) wire.deliver(byte);
  await pause();
  assert.deepEqual(wire.sent, [`${reply(0, 1)}00010203`]);
});

test('DISC and a wrong magic: an empty close frame', () => {
  for (const message of [request(2, 1, 0, 0), '00'.repeat(28)]) {
    const wire = startTransmission();
    wire.deliver(message);
    assert.deepEqual([wire.closedWith, wire.sent], [[], []]);
  }
});
