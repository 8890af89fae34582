// What does not work, and whether the page says so in words that help.

import assert from 'node:assert/strict';
import { appendFileSync } from 'node:fs';
import test from 'node:test';
import { Browser } from './support/browser.mjs';
import { Gateway, run } from './support/gateway.mjs';
import { ImagePage } from './support/image-page.mjs';
import { makeFolder, makeImage, nbdsh, sha256Of, sha256OfExport } from './support/image-file.mjs';

const folder = makeFolder(test);
// A host that is not this machine, as far as the browser knows: no secure context.
const browser = await Browser.start(['--host-resolver-rules=MAP far.example 127.0.0.1']);
test.after(() => browser.close());

async function start(t, settings) {
  const gateway = await Gateway.start(settings);
  t.after(() => gateway.stop());
  return gateway;
}

async function open(t, url) {
  const images = await ImagePage.open(browser, url);
  t.after(() => images.page.close());
  return images;
}

async function tryToAttach(images, image, kind) {
  await images.choose(image);
  const name = image.split('/').at(-1);
  await images.reaches(name, 'chosen');
  await images.act(name, 'attach');
  return images.notice(name, kind);
}

const fragment = (token) => `#t=${token.replace(':', '.')}`;

test('a token lets in once, and leaves the address bar', async (t) => {
  const gateway = await start(t, { settings: {} });
  const image = makeImage(folder, 'token.img', 4);
  const token = await gateway.token('--configuration', '0');
  const images = await open(t, gateway.url + fragment(token));
  assert.equal(await images.page.evaluate(() => location.href), gateway.url);
  const name = await images.attach(image);
  assert.equal(await sha256OfExport(await gateway.serving(), folder), await sha256Of(image));
  await images.act(name, 'eject');
  await images.reaches(name, 'ended');
  await gateway.over();

  const another = await open(t, gateway.url + fragment(token));
  assert.match(await tryToAttach(another, image, 'denied'), /access|token|denied/i);
});

test('a token that nobody made, and none', async (t) => {
  const gateway = await start(t, { settings: {} });
  const image = makeImage(folder, 'refused.img', 4);
  for (const url of [`${gateway.url}#t=0123456789abcdef.0123456789abcdef0123456789abcdef`, gateway.url]) {
    const images = await open(t, url);
    assert.match(await tryToAttach(images, image, 'denied'), /access|token|denied/i);
  }
});

test('a second tab: the first keeps the session', async (t) => {
  const gateway = await start(t);
  const first = await open(t, gateway.url);
  const image = makeImage(folder, 'first.img', 4);
  await first.attach(image);
  const second = await open(t, gateway.url);
  assert.match(await tryToAttach(second, makeImage(folder, 'second.img', 4), 'taken'), /another|already|session/i);
  assert.equal(await first.state('first.img'), 'attached');
  assert.equal(await sha256OfExport(await gateway.serving(), folder), await sha256Of(image));
});

test('plain http from afar: read-only, and it says why', async (t) => {
  const gateway = await start(t);
  const images = await open(t, gateway.url.replace('127.0.0.1', 'far.example'));
  const note = await images.page.waitFor(() => {
    const element = document.querySelector('#security-note');
    return element && !element.hidden && element.innerText;
  });
  assert.match(note, /https|secure/i);
  const image = makeImage(folder, 'plain.img', 4);
  await images.attach(image);
  const uri = await gateway.serving();
  assert.match((await run('nbdinfo', [uri])).stdout, /is_read_only: true/);
  assert.equal(await sha256OfExport(uri, folder), await sha256Of(image));
  // One of the gateway's headers counts only where the browser trusts the way; it says that it ignores it.
  assert.deepEqual(images.page.complaints.filter((text) => !text.includes('Cross-Origin-Opener-Policy')), []);
});

test('the file changes on disk: reads fail, and it says so', async (t) => {
  const gateway = await start(t);
  const image = makeImage(folder, 'changed.img', 4);
  const images = await open(t, gateway.url);
  await images.attach(image);
  const uri = await gateway.serving();
  appendFileSync(image, 'something else');
  const read = `
try:
    h.pread(1 << 20, 1 << 20)
except nbd.Error as error:
    print(error.errno)
`;
  assert.equal(await nbdsh(uri, read), 'EIO');
  assert.match(await images.notice('changed.img', 'changed'), /changed/i);
});

test('the gateway is gone: the page says that it tries again', async (t) => {
  const gateway = await Gateway.start();
  const images = await open(t, gateway.url);
  await images.attach(makeImage(folder, 'gone.img', 4));
  await gateway.stop();
  await images.reaches('gone.img', 'reconnecting', 'ended');
  assert.match(await images.page.text(), /again|lost|ended|reach/i);
});
