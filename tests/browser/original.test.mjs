// The page that is out there (its stand-in), under node and in Chromium, against `nbdring gateway` and against
// `nbdring proxy` as nbd-proxy under websocketd: what people have keeps working when only the far side becomes ours.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { serveFolder } from './support/bridge.mjs';
import { Browser } from './support/browser.mjs';
import { Gateway, nbdring, run, until } from './support/gateway.mjs';
import { makeFolder, makeImage, nbdsh, sha256Of, sha256OfExport } from './support/image-file.mjs';

const support = fileURLToPath(new URL('support/', import.meta.url));
const folder = makeFolder(test);
const image = makeImage(folder, 'original.img', 40);
const sum = await sha256Of(image);

// ---- the two far sides: {endpoint, uri, gone()}

async function underGateway(t, page) {
  const settings = { insecure: true, origins: [new URL(page).origin] };
  const gateway = await Gateway.start({ settings });
  t.after(() => gateway.stop());
  return {
    endpoint: `${gateway.url.replace('http', 'ws')}0`,
    serving: () => gateway.serving(),
    gone: () => gateway.over(),
  };
}

async function underWebsocketd(t) {
  const place = makeFolder(t);
  const socket = join(place, 'front.sock');
  symlinkSync(nbdring, join(place, 'nbd-proxy'));
  writeFileSync(join(place, 'config.toml'), `[gateway.configurations.cd]\nsocket = "${socket}"\n`);
  const port = await freePort();
  const websocketd = spawn('websocketd', ['--binary', '--address=127.0.0.1', `--port=${port}`, '--loglevel=error',
    join(place, 'nbd-proxy'), 'cd', '--config', join(place, 'config.toml')], { stdio: 'inherit' });
  t.after(() => websocketd.kill());
  await until('websocketd listens', 10_000, () => fetch(`http://127.0.0.1:${port}/`).catch(() => false));
  return {
    endpoint: `ws://127.0.0.1:${port}/`,
    serving: async () => {
      await until('the front is there', 10_000, () => existsSync(socket));
      return `nbd+unix:///?socket=${socket}`;
    },
    gone: () => until('the front is gone', 20_000, () => !existsSync(socket)),
  };
}

async function freePort() {
  const server = serveFolder(support);
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const { port } = server.address();
  await new Promise((resolve) => { server.close(resolve); });
  return port;
}

// ---- the two peers: {stop(), ended()}

async function peerUnderNode(t, endpoint) {
  const stdio = ['ignore', 'pipe', 'inherit'];
  const peer = spawn('node', [join(support, 'original-node.mjs'), endpoint, image], { stdio });
  let printed = '';
  peer.stdout.on('data', (text) => { printed += text; });
  t.after(() => peer.kill('SIGKILL'));
  return { stop: () => peer.kill('SIGTERM'), ended: () => until('it ended', 10_000, () => printed.includes('ended')) };
}

async function peerInChromium(t, endpoint, page) {
  const browser = await Browser.start();
  t.after(() => browser.close());
  const tab = await browser.open(`${page}original-page.html?${encodeURIComponent(endpoint)}`);
  await tab.setFiles('#file', image);
  return { stop: () => tab.click('#stop'), ended: () => tab.waitForText(/ended: code/) };
}

// ---- what must hold for each pair

const smallAmongLarge = `
ended = []
def start(length, offset):
    buffer = nbd.Buffer(length)
    h.aio_pread(buffer, offset, lambda error, length=length: ended.append(length) or 1)
for i in range(4):
    start(4 << 20, i << 22)
    start(512, i << 22)
while h.aio_in_flight(): h.poll(-1)
print(sorted(ended))
`;

async function checkPair(far, peer) {
  const uri = await far.serving();
  const { stdout } = await run('nbdinfo', [uri]);
  assert.match(stdout, /export-size: 41943040 /);
  assert.match(stdout, /is_read_only: true/);
  assert.equal(await sha256OfExport(uri, folder), sum);
  assert.equal(await nbdsh(uri, 'print(len(h.pread(32 << 20, 4096)))'), `${32 * 2 ** 20}`);
  assert.match(await nbdsh(uri, smallAmongLarge), /^\[512, 512, 512, 512, 4194304, 4194304, 4194304, 4194304\]$/);
  peer.stop();
  await peer.ended();
  await far.gone();
}

const page = serveFolder(support);
await new Promise((resolve) => { page.listen(0, '127.0.0.1', resolve); });
const pageUrl = `http://127.0.0.1:${page.address().port}/`;
test.after(() => { page.close(); page.closeAllConnections(); });

for (const startFar of [underGateway, underWebsocketd]) {
  for (const startPeer of [peerUnderNode, peerInChromium]) {
    test(`${basename(startPeer.name)}, ${startFar.name}`, async (t) => {
      const far = await startFar(t, pageUrl);
      await checkPair(far, await startPeer(t, far.endpoint, pageUrl));
    });
  }
}
