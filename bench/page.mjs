// The page, natively: fio -> the gateway's Unix socket -> a websocket -> a page in Chromium -> a file of random bytes.
//
//   bench/page [--seconds S] [--rounds N] [--mebibytes M] [--json FILE]
//
// Beside ours: the page that is out there (its stand-in in tests/browser/support), which reads with FileReader on its
// main thread; without the line in its document per read that makes it slower still. Both through the same gateway and
// in the same browser, in turns; the other's tab is closed meanwhile.

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { serveFolder } from '../tests/browser/support/bridge.mjs';
import { Browser } from '../tests/browser/support/browser.mjs';
import { checkout, Gateway, run } from '../tests/browser/support/gateway.mjs';
import { makeImage } from '../tests/browser/support/image-file.mjs';
import { ImagePage } from '../tests/browser/support/image-page.mjs';

const { values: chosen } = parseArgs({ options: {
  seconds: { type: 'string', default: '4' },
  rounds: { type: 'string', default: '3' },
  mebibytes: { type: 'string', default: '512' },
  json: { type: 'string' },
} });

const cases = [
  ['64k read, depth 1', '--rw=read', '--bs=64k', '--iodepth=1'],
  ['64k read, depth 16', '--rw=read', '--bs=64k', '--iodepth=16'],
  ['64k random read, depth 16', '--rw=randread', '--bs=64k', '--iodepth=16'],
  ['128k read, depth 16', '--rw=read', '--bs=128k', '--iodepth=16'],
  ['1m read, depth 16', '--rw=read', '--bs=1m', '--iodepth=16'],
];

// User and system time, in ms, of all that Chromium consists of.
function browserTime(pid) {
  const processes = new Map();
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    try {
      const fields = readFileSync(`/proc/${name}/stat`, 'latin1').split(') ')[1].split(' ');
      processes.set(Number(name), { parent: Number(fields[1]), time: 10 * (Number(fields[11]) + Number(fields[12])) });
    } catch {} // ended meanwhile
  }
  const isOurs = (child) => child === pid || (processes.has(child) && isOurs(processes.get(child).parent));
  return [...processes].reduce((sum, [child, { time }]) => sum + (isOurs(child) ? time : 0), 0);
}

async function measure(uri, options) {
  const before = browserTime(browser.process.pid);
  const { stdout } = await run('fio', ['--name=page', '--ioengine=nbd', `--uri=${uri}`, ...options, '--time_based',
    `--runtime=${chosen.seconds}`, '--norandommap', '--randrepeat=0', '--output-format=json'], { maxBuffer: 1 << 24 });
  const { read } = JSON.parse(stdout.slice(stdout.indexOf('\n{'))).jobs[0]; // behind fio's word of its connection
  const time = browserTime(browser.process.pid) - before;
  return { speed: read.bw_bytes / 2 ** 20, cpu: time / (read.io_bytes / 2 ** 20) };
}

async function measureAll(name) {
  const uri = await gateway.serving(name);
  const results = [];
  for (const [, ...options] of cases) results.push(await measure(uri, options));
  return results;
}

async function ours(image) {
  const images = await ImagePage.open(browser, gateway.url);
  const name = await images.attach(image);
  const results = await measureAll('0');
  await images.act(name, 'eject');
  await gateway.over('0');
  await images.page.close();
  return results;
}

async function original(image) {
  const endpoint = `${gateway.url.replace('http', 'ws')}original`;
  const tab = await browser.open(`${pageUrl}original-page.html?${encodeURIComponent(endpoint)}`);
  await tab.setFiles('#file', image);
  const results = await measureAll('original');
  await tab.click('#stop');
  await gateway.over('original');
  await tab.close();
  return results;
}

function median(numbers) {
  return [...numbers].sort((left, right) => left - right)[numbers.length >> 1];
}

function report(rounds) {
  const row = (...cells) => console.log(cells.map((cell, at) => (at ? cell.padStart(14) : cell.padEnd(28))).join(''));
  row('', 'ours MiB/s', 'CPU ms/MiB', 'theirs MiB/s', 'CPU ms/MiB', 'ratio', 'of the rounds');
  for (const [at, [name]] of cases.entries()) {
    const of = (who, what) => rounds.map((round) => round[who][at][what]);
    const ratios = rounds.map((round) => round.ours[at].speed / round.theirs[at].speed);
    row(name, median(of('ours', 'speed')).toFixed(0), median(of('ours', 'cpu')).toFixed(1),
      median(of('theirs', 'speed')).toFixed(0), median(of('theirs', 'cpu')).toFixed(1),
      median(ratios).toFixed(1), `${Math.min(...ratios).toFixed(1)}-${Math.max(...ratios).toFixed(1)}`);
  }
}

// As bench/figures.py has them: {title: [{row: {figure: value}}]}.
function save(rounds) {
  const figures = ({ speed, cpu }) => ({ mib: speed, cpu_us: 1000 * cpu });
  const results = Object.fromEntries(cases.map(([name], at) => [`page: ${name}`, rounds.map((round) => ({
    'nbdring page': figures(round.ours[at]),
    'FileReader page': figures(round.theirs[at]),
  }))]));
  writeFileSync(chosen.json, JSON.stringify(results));
}

const folder = mkdtempSync('/var/tmp/nbdring-bench.');
const page = serveFolder(join(checkout, 'tests/browser/support'));
await new Promise((resolve) => { page.listen(0, '127.0.0.1', resolve); });
const pageUrl = `http://127.0.0.1:${page.address().port}/`;
const configurations = { 0: { default: true }, original: {} };
const settings = { insecure: true, origins: [new URL(pageUrl).origin] };
const gateway = await Gateway.start({ configurations, settings });
const browser = await Browser.start();
try {
  const image = makeImage(folder, 'bench.img', Number(chosen.mebibytes));
  const rounds = [];
  for (let round = 0; round < Number(chosen.rounds); round++) {
    rounds.push({
      theirs: await original(image),
      ours: await ours(image),
    });
  }
  report(rounds);
  if (chosen.json) save(rounds);
} finally {
  await browser.close();
  await gateway.stop();
  page.close();
  rmSync(folder, { recursive: true, force: true });
}
