// Our page serves an image: read whole, written to over a reload, given back by the page.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import test from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Browser } from './support/browser.mjs';
import { Gateway, run } from './support/gateway.mjs';
import { ImagePage } from './support/image-page.mjs';
import { makeFolder, makeImage, nbdsh, sha256Of, sha256OfExport } from './support/image-file.mjs';

const folder = makeFolder(test);
const browser = await Browser.start();
test.after(() => browser.close());

async function open(t, gateway) {
  const images = await ImagePage.open(browser, gateway.url);
  t.after(() => images.page.close());
  return images;
}

async function start(t, configurations) {
  const gateway = await Gateway.start({ configurations });
  t.after(() => gateway.stop());
  return gateway;
}

test('chosen, attached, read whole, ejected', async (t) => {
  const gateway = await start(t);
  const image = makeImage(folder, 'whole.img', 48);
  const images = await open(t, gateway);
  const name = await images.attach(image);
  const uri = await gateway.serving();
  assert.match((await run('nbdinfo', [uri])).stdout, /export-size: 50331648 /);
  assert.equal(await sha256OfExport(uri, folder), await sha256Of(image));
  await images.act(name, 'eject');
  await images.reaches(name, 'ended');
  await gateway.over();
  assert.deepEqual(images.page.complaints, []);
});

test('an odd size, an empty tail, single bytes', async (t) => {
  const gateway = await start(t);
  const image = makeImage(folder, 'odd.img', 1);
  await run('truncate', ['-s', '1500001', image]);
  const images = await open(t, gateway);
  await images.attach(image);
  const uri = await gateway.serving();
  assert.equal(await sha256OfExport(uri, folder), await sha256Of(image));
  const { stdout } = await run('od', ['-An', '-tu1', '-j1048575', '-N1', image]);
  assert.equal(await nbdsh(uri, 'print(h.pread(1, 1048575)[0], h.pread(1, 1500000)[0])'), `${Number(stdout)} 0`);
});

test('dropped on the page', async (t) => {
  const gateway = await start(t);
  const image = makeImage(folder, 'dropped.img', 4);
  const images = await open(t, gateway);
  await images.drop(image);
  await images.attachChosen('dropped.img');
  assert.equal(await sha256OfExport(await gateway.serving(), folder), await sha256Of(image));
  assert.deepEqual(images.page.complaints, []);
});

test('written to while the page is reloaded: no request fails, nothing is lost, the file is untouched', async (t) => {
  const gateway = await start(t);
  const image = makeImage(folder, 'written.img', 48);
  const fresh = makeImage(folder, 'fresh.img', 48);
  const before = await sha256Of(image);
  const images = await open(t, gateway);
  await images.attach(image, { writable: true });
  const uri = await gateway.serving();

  const slowly = ['--connections=1', '--requests=1', '--request-size=65536', '--flush', fresh, uri];
  let copied = false;
  const copying = new Promise((resolve, reject) => {
    execFile('nbdcopy', slowly, (error) => { copied = true; return error ? reject(error) : resolve(); });
  });
  await delay(300);
  assert.equal(copied, false, 'the copy is too quick to be disturbed');
  await images.page.reload();
  assert.equal(copied, false, 'the copy is too quick to be disturbed');
  await images.choose(image);
  await images.reaches('written.img', 'attached');
  await copying;

  const after = await sha256Of(fresh);
  assert.equal(await sha256OfExport(uri, folder), after);
  await images.page.reload();
  await images.choose(image);
  assert.equal(await sha256OfExport(uri, folder), after, 'a second reload');
  assert.equal(await sha256Of(image), before);
  assert.ok(images.page.dialogs.includes('beforeunload'), 'nobody was warned');
});

test('two images at once, in two configurations', async (t) => {
  const gateway = await start(t, { left: {}, right: {} });
  const images = await open(t, gateway);
  const files = ['left', 'right'].map((name) => makeImage(folder, `${name}.img`, 8));
  for (const [number, name] of ['left', 'right'].entries()) {
    await images.choose(files[number]);
    await images.reaches(`${name}.img`, 'chosen');
    await images.field(`${name}.img`, 'configuration', name);
    await images.act(`${name}.img`, 'attach');
    await images.reaches(`${name}.img`, 'attached');
  }
  const sums = await Promise.all(['left', 'right'].map(async (name) =>
    sha256OfExport(await gateway.serving(name), makeFolder(t))));
  assert.deepEqual(sums, await Promise.all(files.map(sha256Of)));
});
