#!/usr/bin/env node
// The person far away, of tests/vm/tests/websocket-page.sh: Chromium on the host, with our page from the gateway in the
// machine.
// The machine asks, a line each, and gets "ok ..." or "failed WHY":
//   image              makes a sparse image; answers OFFSET:SHA256 of each MiB in it that is known, ext4's files apart
//   attach             chooses it in the page, and waits until the machine has it
//   reload             reloads the page and chooses the same file again
//   sum                the SHA256 of the whole image
//   eject              leaves; the changes stay in the browser
//   again              attaches it once more
//   detached           waits until the page says that the machine gave it back
//   download FILE      takes the image with its changes; e2fsck looks at it; answers the SHA256 of FILE in its ext4

import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, existsSync, ftruncateSync, mkdirSync, mkdtempSync, openSync, readdirSync, rmSync, statSync,
  writeFileSync, writeSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { Browser } from './support/browser.mjs';
import { ImagePage } from './support/image-page.mjs';

const MiB = 2 ** 20;
const size = 5 * 1024 * MiB;
const fileSystem = 4 * 1024 * MiB; // the rest of the image is behind it
const places = [fileSystem, fileSystem + 300 * MiB + 4096, size - MiB];
const folder = mkdtempSync(join(tmpdir(), 'nbdring-companion.'));
const image = join(folder, 'disk.img');
const url = `http://127.0.0.1:${process.env.NBDRING_VM_PORT}/`;
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');
let browser;
let images;

function makeKnownFiles() {
  const known = join(folder, 'files/known');
  let sums = '';
  for (let number = 0; number < 12; number++) {
    mkdirSync(join(known, `${number}`), { recursive: true });
    const bytes = randomBytes(512 * 1024 + number * 4321);
    writeFileSync(join(known, `${number}/data`), bytes);
    sums += `${sha256(bytes)}  ${number}/data\n`;
  }
  writeFileSync(join(known, 'sums'), sums);
}

function makeImage() {
  makeKnownFiles();
  const descriptor = openSync(image, 'w');
  ftruncateSync(descriptor, size);
  const sums = places.map((place) => {
    const bytes = randomBytes(MiB);
    writeSync(descriptor, bytes, 0, MiB, place);
    return `${place}:${sha256(bytes)}`;
  });
  closeSync(descriptor);
  execFileSync('mke2fs', ['-q', '-F', '-t', 'ext4', '-d', join(folder, 'files'), image, `${fileSystem / 1024}k`]);
  return sums.join(' ');
}

function sum() {
  return execFileSync('sha256sum', [image], { encoding: 'utf8' }).split(' ')[0];
}

async function attach() {
  browser = await Browser.start();
  images = await ImagePage.open(browser, url);
  await images.attach(image, { writable: true });
}

async function reload() {
  await images.page.reload();
  await images.choose(image);
  await images.reaches('disk.img', 'attached');
}

async function eject() {
  await images.act('disk.img', 'eject');
  await images.reaches('disk.img', 'ended');
}

async function again() {
  await images.act('disk.img', 'attach');
  await images.reaches('disk.img', 'attached');
}

function detached() {
  return images.notice('disk.img', 'detached').then(() => {});
}

async function downloaded() {
  for (;;) {
    const [name, ...others] = existsSync(browser.downloads) ? readdirSync(browser.downloads) : [];
    const path = name && join(browser.downloads, name);
    if (path && others.length === 0 && !name.endsWith('.crdownload') && statSync(path).size === size) return path;
    await delay(200);
  }
}

async function download(file) {
  await images.act('disk.img', 'download');
  const merged = await downloaded();
  execFileSync('e2fsck', ['-f', '-n', merged], { stdio: 'inherit' });
  return sha256(execFileSync('debugfs', ['-R', `cat ${file}`, merged], { maxBuffer: 512 * MiB }));
}

async function main() {
  const commands = { image: makeImage, sum, attach, reload, eject, again, detached, download };
  const machine = connect(process.env.NBDRING_VM_SOCKET);
  for await (const line of createInterface({ input: machine })) {
    const [name, ...values] = line.split(' ');
    console.log(`asked: ${line}`);
    try {
      machine.write(`ok ${await commands[name](...values) ?? ''}\n`);
    } catch (error) {
      console.log(error);
      machine.write(`failed ${String(error).split('\n')[0]}\n`);
    }
  }
}

async function end() {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
  process.exit(0);
}

process.on('SIGTERM', end);
await delay(500); // QEMU makes the socket
await main();
await end();
