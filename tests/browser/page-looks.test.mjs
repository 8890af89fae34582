// Every state of the page, light, dark and narrow, as pictures for people to look at (NBDRING_SCREENSHOTS, by default
// build/check/browser); and what of it a machine can judge: nothing sticks out at 320 pixels, everything that can be
// used has a name, the keyboard gets everywhere.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import test from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Browser } from './support/browser.mjs';
import { checkout, Gateway, run } from './support/gateway.mjs';
import { ImagePage } from './support/image-page.mjs';
import { makeFolder, makeImage, nbdsh } from './support/image-file.mjs';

const pictures = process.env.NBDRING_SCREENSHOTS ?? join(checkout, 'build/check/browser');
const folder = makeFolder(test);
const browser = await Browser.start(['--host-resolver-rules=MAP far.example 127.0.0.1']);
test.after(() => browser.close());

async function open(t, url) {
  const images = await ImagePage.open(browser, url);
  t.after(() => images.page.close());
  return images;
}

async function start(t, settings) {
  const gateway = await Gateway.start(settings);
  let stopped = false;
  const stop = () => stopped || (stopped = true) && gateway.stop();
  t.after(stop);
  return { gateway, stop };
}

async function take(page, name) {
  for (const [scheme, width] of [['light', 1100], ['dark', 1100], ['light', 320], ['dark', 320]]) {
    await page.scheme(scheme);
    await page.resize(width, 800);
    await delay(150); // what is drawn per frame has been drawn
    const { wide, view } = await page.evaluate(() =>
      ({ wide: document.documentElement.scrollWidth, view: document.documentElement.clientWidth }));
    assert.ok(wide <= view, `${name}: ${wide} pixels wide at ${width}`);
    await page.screenshot(join(pictures, `${name}-${scheme}-${width}.png`));
  }
  await page.resize(1100, 800);
  await checkNames(page, name);
}

const usable = new Set(['button', 'checkbox', 'switch', 'textbox', 'link', 'radio', 'progressbar', 'image']);

async function checkNames(page, state) {
  const { nodes } = await page.send('Accessibility.getFullAXTree');
  const nameless = nodes.filter(({ ignored, role, name }) => !ignored && usable.has(role?.value) && !name?.value);
  assert.deepEqual(nameless.map(({ role }) => role.value), [], `${state}: without a name`);
}

// What Tab goes through, by the words on it.
async function tabStops(page) {
  const stops = new Set();
  for (let press = 0; press < 24; press++) {
    await page.press('Tab');
    stops.add(await page.evaluate(() => {
      const { activeElement } = document;
      return (activeElement.labels?.[0]?.innerText ?? activeElement.ariaLabel ?? activeElement.innerText).trim();
    }));
  }
  return stops;
}

test('nothing chosen, then two images', async (t) => {
  const { gateway } = await start(t);
  const images = await open(t, gateway.url);
  const { page } = images;
  await take(page, 'nothing');
  const chosen = [makeImage(folder, 'debian-12.8.0-amd64-netinst.iso', 2), makeImage(folder, 'rescue.img', 1)];
  await images.choose(...chosen);
  await page.waitFor(() => document.querySelectorAll('.card[data-state="chosen"]').length === 2);
  await take(page, 'chosen');
  const stops = await tabStops(page);
  for (const wanted of ['Choose images …', 'Let the machine write', 'Attach']) {
    assert.ok(stops.has(wanted), `Tab does not reach '${wanted}'`);
  }
  assert.deepEqual(page.complaints, []);
});

test('attached and busy, the gateway lost, the page reloaded', async (t) => {
  const { gateway, stop } = await start(t);
  const images = await open(t, gateway.url);
  const image = makeImage(folder, 'busy.img', 64);
  await images.attach(image, { writable: true });
  const uri = await gateway.serving();
  const busy = run('fio', ['--name=busy', '--ioengine=nbd', `--uri=${uri}`, '--rw=randrw', '--bs=64k', '--iodepth=4',
    '--size=48m', '--time_based', '--runtime=8', '--rate=6m']);
  await delay(6000);
  await take(images.page, 'attached-busy');
  await busy;
  await images.page.reload();
  await images.reaches('busy.img', 'resume');
  await take(images.page, 'resume');
  await images.choose(image);
  await images.reaches('busy.img', 'attached');
  await stop();
  await images.reaches('busy.img', 'reconnecting', 'ended');
  await take(images.page, 'reconnecting');
});

test('ejected, with changes and without', async (t) => {
  const { gateway } = await start(t);
  const images = await open(t, gateway.url);
  for (const writable of [false, true]) {
    const name = `ejected-${writable ? 'written' : 'read'}.img`;
    await images.attach(makeImage(folder, name, 4), { writable });
    const uri = await gateway.serving();
    await nbdsh(uri, writable ? 'h.pwrite(b"1" * 1000000, 12345)' : 'h.pread(4096, 0)');
    await images.act(name, 'eject');
    await images.reaches(name, 'ended');
    await gateway.over();
  }
  await take(images.page, 'ejected');
});

test('refused, taken, read-only', async (t) => {
  const { gateway } = await start(t, { settings: {} });
  const denied = await open(t, `${gateway.url}#t=0123456789abcdef.0123456789abcdef`);
  await denied.choose(makeImage(folder, 'denied.img', 1));
  await denied.reaches('denied.img', 'chosen');
  await denied.act('denied.img', 'attach');
  await denied.notice('denied.img', 'denied');
  await take(denied.page, 'denied');

  const { gateway: free } = await start(t);
  const far = await open(t, free.url.replace('127.0.0.1', 'far.example'));
  await far.attach(makeImage(folder, 'far.img', 4));
  await take(far.page, 'plain-http');
  const second = await open(t, free.url);
  await second.choose(makeImage(folder, 'taken.img', 1));
  await second.reaches('taken.img', 'chosen');
  await second.act('taken.img', 'attach');
  await second.notice('taken.img', 'taken');
  await take(second.page, 'taken');
});
