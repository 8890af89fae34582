// What becomes of the changes when an image is ejected: saved into the file, downloaded with the image, dropped, or
// kept in the browser for another day.

import assert from 'node:assert/strict';
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { Browser } from './support/browser.mjs';
import { Gateway, until } from './support/gateway.mjs';
import { ImagePage } from './support/image-page.mjs';
import { makeFolder, makeImage, nbdsh, sha256Of, sha256OfExport } from './support/image-file.mjs';

const folder = makeFolder(test);
const browser = await Browser.start();
test.after(() => browser.close());

async function start(t, before) {
  const gateway = await Gateway.start();
  t.after(() => gateway.stop());
  const images = await ImagePage.open(browser, gateway.url, { before });
  t.after(() => images.page.close());
  return { gateway, images };
}

// Writes, zeroes, trims and flushes here and there.
const change = `
for offset, length in (0, 5000), (1 << 20, 300000), (3999999, 2), (5 << 20, 1 << 20):
    h.pwrite(bytes([length % 251]) * length, offset)
h.zero(100000, 2 << 20)
h.trim(65536, 3 << 20)
h.flush()
`;

async function changeAndEject({ gateway, images }, name) {
  const uri = await gateway.serving();
  await nbdsh(uri, change);
  const sum = await sha256OfExport(uri, folder);
  await images.act(name, 'eject');
  await images.reaches(name, 'ended');
  await gateway.over();
  return sum;
}

async function downloaded(size) {
  const paths = () => (existsSync(browser.downloads) ? readdirSync(browser.downloads) : [])
    .map((name) => join(browser.downloads, name));
  const isComplete = (path) => !path.endsWith('.crdownload') && statSync(path).size === size;
  return until('the download', 30_000, () => paths().find(isComplete));
}

test('downloaded: the image with its changes; the file stays as it was', async (t) => {
  const here = await start(t);
  const image = makeImage(folder, 'download.img', 8);
  const before = await sha256Of(image);
  const name = await here.images.attach(image, { writable: true });
  const sum = await changeAndEject(here, name);
  await here.images.act(name, 'download');
  const path = await downloaded(8 * 2 ** 20);
  assert.equal(await sha256Of(path), sum);
  assert.notEqual(sum, before);
  assert.equal(await sha256Of(image), before);
  rmSync(path);
  assert.deepEqual(here.images.page.complaints, []);
});

test('kept: another page on another day goes on where this one ended', async (t) => {
  const here = await start(t);
  const image = makeImage(folder, 'kept.img', 8);
  const name = await here.images.attach(image, { writable: true });
  const sum = await changeAndEject(here, name);
  await here.images.page.goto('about:blank');
  await here.images.page.goto(here.gateway.url);
  await here.images.attach(image, { writable: true });
  assert.equal(await sha256OfExport(await here.gateway.serving(), folder), sum);
});

test('discarded: the next time it is the image again', async (t) => {
  const here = await start(t);
  const image = makeImage(folder, 'discard.img', 8);
  const name = await here.images.attach(image, { writable: true });
  await changeAndEject(here, name);
  await here.images.act(name, 'discard');
  await here.images.reaches(name, 'chosen');
  await here.images.page.goto('about:blank');
  await here.images.page.goto(here.gateway.url);
  await here.images.attach(image, { writable: true });
  assert.equal(await sha256OfExport(await here.gateway.serving(), folder), await sha256Of(image));
});

// No test can use the system's file picker: this one gives a file of the page's own storage, which can be written into
// just the same (createWritable).
const picker = `globalThis.showOpenFilePicker = async () =>
  [await (await navigator.storage.getDirectory()).getFileHandle('picked.img', { create: true })];`;

async function fillPicked() {
  const folder = await navigator.storage.getDirectory();
  const writable = await (await folder.getFileHandle('picked.img', { create: true })).createWritable();
  for (let block = 0; block < 128; block++) await writable.write(crypto.getRandomValues(new Uint8Array(65536)));
  await writable.close();
}

async function sumPicked() {
  const file = await (await (await navigator.storage.getDirectory()).getFileHandle('picked.img')).getFile();
  const sum = new Uint8Array(await crypto.subtle.digest('SHA-256', await file.arrayBuffer()));
  return [...sum].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

test('picked: found again by itself after a reload, and saved into the file', async (t) => {
  const here = await start(t, picker);
  const { images } = here;
  await images.page.evaluate(fillPicked);
  await images.page.click('#choose');
  await images.attachChosen('picked.img', { writable: true });
  await nbdsh(await here.gateway.serving(), change);
  await images.page.reload();
  await images.reaches('picked.img', 'attached');
  const before = await images.page.evaluate(sumPicked);
  const sum = await changeAndEject(here, 'picked.img');
  assert.equal(await images.page.evaluate(sumPicked), before, 'saved without being asked');
  await images.act('picked.img', 'save');
  await until('it is saved', 20_000, async () => await images.page.evaluate(sumPicked) === sum);
  assert.deepEqual(images.page.complaints, []);
});
