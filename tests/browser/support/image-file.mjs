// Disk images for tests: random, so that no byte is right by chance.

import { randomFillSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './gateway.mjs';

export const MiB = 2 ** 20;

export function makeFolder(test) {
  const folder = mkdtempSync('/var/tmp/nbdring-browser.');
  test.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export function makeImage(folder, name, megabytes) {
  const path = join(folder, name);
  writeFileSync(path, randomFillSync(Buffer.allocUnsafe(megabytes * MiB)));
  return path;
}

export async function sha256Of(path) {
  return (await run('sha256sum', [path])).stdout.split(' ')[0];
}

// Of the whole export, through other people's NBD client.
export async function sha256OfExport(uri, folder) {
  const copy = join(folder, 'copied');
  await run('nbdcopy', [uri, copy]);
  const sum = await sha256Of(copy);
  rmSync(copy);
  return sum;
}

// libnbd's shell: what single requests do. The connection is `h`; what the script prints comes back. Not by the name
// nbdsh, which takes the first Python of PATH: the module is Debian's.
export async function nbdsh(uri, script) {
  const { stdout } = await run('/usr/bin/python3', ['-m', 'nbd', '-u', uri, '-c', script], { timeout: 60_000 });
  return stdout.trim();
}
