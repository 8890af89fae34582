// The small parts: identity, the token's way out of the URL, words, figures, what a merged image is made of, nbd.js'
// name.

import assert from 'node:assert/strict';
import { File } from 'node:buffer'; // not global in Debian 12's node
import { createHash } from 'node:crypto';
import test from 'node:test';
import { load, randomBytes, seeded } from './support/pages.mjs';

const { sha256 } = await load('sha256.js');
const { identify, difference } = await load('identity.js');
const { linkFor, readFragment } = await load('memory.js');
const { merged, mergedName } = await load('export.js');
const { Metrics, region, regionCells } = await load('metrics.js');
const words = await load('words.js');
const { sniff } = await load('sniff.js');

test('SHA-256 as everybody computes it, at every padding', () => {
  for (let length = 0; length < 200; length++) {
    const bytes = randomBytes(length, seeded(length));
    assert.equal(sha256(bytes), createHash('sha256').update(bytes).digest('hex'));
  }
});

test('an identity is the name, the size, the time and the beginning; what differs is said', async () => {
  const make = (content, name = 'a.img', lastModified = 1) => new File([content], name, { lastModified });
  const wanted = await identify(make('content'));
  assert.match(wanted.id, /^[0-9a-f]{32}$/);
  assert.equal(difference(wanted, await identify(make('content'))), null);
  assert.match(difference(wanted, await identify(make('content', 'b.img'))), /called/);
  assert.match(difference(wanted, await identify(make('longer content'))), /size/);
  assert.match(difference(wanted, await identify(make('content', 'a.img', 2))), /changed/);
  assert.match(difference(wanted, await identify(make('CONTENT'))), /contents/);
});

test('a token in the fragment, and the link for next time', () => {
  assert.deepEqual(readFragment('#t=id.secret&c=disk'), { token: 'id:secret', configuration: 'disk' });
  assert.deepEqual(readFragment(''), { token: '', configuration: '' });
  assert.equal(linkFor('https://host/page/?x=1#old', 'id:secret'), 'https://host/page/#t=id.secret');
  assert.equal(readFragment(new URL(linkFor('https://host/', 'a-b_c:d')).hash).token, 'a-b_c:d');
});

test('a merged image has each change at its place, and zeroes where nothing is stored', async () => {
  const file = new File([new Uint8Array(3_000_000).fill(1)], 'disk.img');
  const data = new Blob([new Uint8Array(8192).fill(2), new Uint8Array(4096).fill(3)]);
  const runs = Float64Array.from([0, 4096, 8192, 8192, 8192, 0, 20_480, 2_000_000, -1, 2_999_000, 1000, 0]);
  const bytes = new Uint8Array(await merged(file, data, runs).arrayBuffer());
  const wanted = new Uint8Array(3_000_000).fill(1);
  wanted.fill(3, 0, 4096).fill(2, 8192, 16_384).fill(0, 20_480, 2_020_480).fill(2, 2_999_000);
  assert.equal(Buffer.compare(bytes, wanted), 0);
  assert.deepEqual(['disk.img', 'disk', '.hidden'].map(mergedName), [
    'disk-changed.img',
    'disk-changed',
    '.hidden-changed',
  ]);
});

test('figures: counts, regions, latencies', () => {
  let now = 0;
  const metrics = new Metrics(512_000, () => now);
  for (let i = 1; i <= 100; i++) {
    now += 1;
    metrics.served(0, 0, 1000, 0, now - i);
  }
  metrics.served(1, 511_000, 1000, 0, now);
  metrics.served(0, 0, 1000, 5, now);
  const seen = metrics.snapshot();
  assert.deepEqual(
    [seen.reads, seen.bytesRead, seen.writes, seen.bytesWritten, seen.errors],
    [100, 100_000, 1, 1000, 1],
  );
  assert.ok(seen.median > 40 && seen.median < 60 && seen.slow >= 98);
  assert.equal(seen.regions[0], region.read);
  assert.equal(seen.regions[regionCells - 1], region.written);
  assert.equal(metrics.snapshot().median, null);
  assert.equal(
    metrics.snapshot().recent.some((cell) => cell !== 0),
    false,
  );
});

test('every end and every trouble has words that say what to do', () => {
  const kinds = [
    'unreachable',
    'denied',
    'taken',
    'refused',
    'failed',
    'detached',
    'lost',
    'ejected-away',
    'changed',
    'no-room',
    'storage',
    'other-tab',
    'damaged',
    'reconnecting',
    'choose',
    'permit',
    'different',
    'unreadable',
    'save-failed',
    'saved',
    'downloading',
    'discarded',
  ];
  for (const kind of kinds) {
    const [heading, text, weight] = words.notice(kind, 'the told reason');
    assert.match(heading, /\.$/, kind);
    assert.match(text.trim(), /\.$/, kind);
    assert.ok(['info', 'warning', 'error', 'success'].includes(weight), kind);
    assert.doesNotMatch(words.notice(kind).join(' '), /undefined|null/, kind);
  }
  assert.equal(words.notice('ejected'), null);
});

test('numbers as people read them', () => {
  assert.deepEqual([0, 999, 1000, 15_400, 999_000_000, 5.2e12].map(words.bytes), [
    '0 B',
    '999 B',
    '1.00 kB',
    '15.4 kB',
    '999 MB',
    '5.20 TB',
  ]);
  assert.deepEqual([null, 0.02, 1.25, 42.4].map(words.milliseconds), ['–', '< 0.1 ms', '1.3 ms', '42 ms']);
});

test('what an image seems to be, and what is no raw image', async () => {
  const at = (offset, text, length = 65_536) => {
    const bytes = new Uint8Array(length);
    bytes.set(new TextEncoder().encode(text), offset);
    return new File([bytes], 'x');
  };
  assert.equal((await sniff(at(32_769, 'CD001'))).words, 'CD/DVD image');
  assert.equal((await sniff(at(512, 'EFI PART'))).words, 'Disk with a GPT partition table');
  assert.match((await sniff(new File([Uint8Array.of(0x51, 0x46, 0x49, 0xfb)], 'x'))).warning, /qcow2/);
  assert.match((await sniff(at(0, '', 1000))).warning, /512/);
  assert.deepEqual(await sniff(at(0, '', 1024)), { words: null, warning: null });
  for (let length = 0; length < 1200; length += 7) await sniff(new File([new Uint8Array(length)], 'x'));
});

test('NBDServer as the original page has it: with new and without', async () => {
  const made = [];
  globalThis.WebSocket = class {
    static OPEN = 1;
    readyState = 1;
    sent = [];
    constructor(url) {
      this.url = url;
      made.push(this);
    }
    send(bytes) {
      this.sent.push(bytes.slice());
    }
    close() {
      this.onclose({ code: 1005, reason: '' });
    }
  };
  const { NBDServer } = await load('nbdjs.js');
  const file = new File([new Uint8Array(4096).fill(6)], 'x.img');
  for (const server of [NBDServer('ws://h/', file), new NBDServer('ws://h/', file)]) {
    assert.ok(server instanceof NBDServer);
    const log = [];
    server.onlog = (line) => log.push(line);
    server.start();
    const socket = made[made.length - 1];
    assert.equal(socket.url, 'ws://h/');
    socket.onopen();
    assert.equal(Buffer.concat(socket.sent).toString('latin1', 0, 16), 'NBDMAGICIHAVEOPT');
    const go = Buffer.from(
      '0000000349484156454f505400000007000000060000000000002560951300000000000000010000000200000000000000000000000a',
      'hex',
    );
    socket.onmessage({ data: Uint8Array.from(go).buffer });
    await new Promise((resolve) => setTimeout(resolve, 20));
    const reply = socket.sent[socket.sent.length - 1];
    assert.deepEqual([...reply.slice(16)], Array(10).fill(6));
    server.stop();
    assert.match(log.join('\n'), /closed: 1005/);
  }
});
