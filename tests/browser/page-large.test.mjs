// An image of 5 GiB, nearly all of it holes: what lies behind 2 and 4 GiB is where it belongs. With NBDRING_LONG the
// whole of it is read and summed.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { Browser } from './support/browser.mjs';
import { Gateway, run } from './support/gateway.mjs';
import { ImagePage } from './support/image-page.mjs';
import { makeFolder, MiB, nbdsh, sha256Of } from './support/image-file.mjs';

const size = 5 * 1024 * MiB;
const places = [0, 2048 * MiB - 5, 4096 * MiB - 4096, 4098 * MiB + 777, size - 100_000];
const bytesEach = 100_000;

function makeSparse(path) {
  const file = openSync(path, 'w');
  ftruncateSync(file, size);
  const known = places.map((place) => {
    const bytes = randomBytes(bytesEach);
    writeSync(file, bytes, 0, bytesEach, place);
    return createHash('sha256').update(bytes).digest('hex');
  });
  closeSync(file);
  return known;
}

test('what is known of 5 GiB is found, holes are zeros, and far writes stay', async (t) => {
  const folder = makeFolder(t);
  const image = join(folder, 'large.img');
  const known = makeSparse(image);
  const gateway = await Gateway.start();
  t.after(() => gateway.stop());
  const browser = await Browser.start();
  t.after(() => browser.close());
  const images = await ImagePage.open(browser, gateway.url);
  await images.attach(image, { writable: true });
  const uri = await gateway.serving();

  const found = await nbdsh(uri, `
import hashlib
for place in ${JSON.stringify(places)}: print(hashlib.sha256(h.pread(${bytesEach}, place)).hexdigest())`);
  assert.deepEqual(found.split('\n'), known);
  assert.equal(await nbdsh(uri, 'print(any(h.pread(1 << 20, 3 << 30)))'), 'False');
  if (process.env.NBDRING_LONG) {
    const { stdout } = await run('bash', ['-c', 'set -o pipefail; nbdcopy "$0" - | sha256sum', uri]);
    assert.equal(stdout.split(' ')[0], await sha256Of(image));
  }
  await nbdsh(uri, 'h.pwrite(b"far" * 1000, (9 << 29) + 1); h.flush()');
  await images.page.reload();
  await images.choose(image);
  assert.equal(await nbdsh(uri, 'print(h.pread(3002, 9 << 29) == b"\\0" + b"far" * 1000 + b"\\0")'), 'True');
});
