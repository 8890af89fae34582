// `nbdring gateway` for tests, on a port of its own, with Unix sockets in the devices' place: an NBD client there is
// what the kernel would be.

import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export const run = promisify(execFile);
export const checkout = fileURLToPath(new URL('../../../', import.meta.url));
export const nbdring = process.env.NBDRING ?? join(checkout, 'build/nbdring');

// Ends the waiting when the function gives something true.
export async function until(what, milliseconds, condition) {
  for (const end = Date.now() + milliseconds; Date.now() < end; await delay(20)) {
    const seen = await condition();
    if (seen) return seen;
  }
  throw new Error(`not within ${milliseconds / 1000} s: ${what}`);
}

const toml = (table) => Object.entries(table).map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`).join('');

export class Gateway {
  // configurations: name -> more keys of its table. settings: more keys of [gateway]. options: of the command.
  static async start({ configurations = { 0: {} }, settings = { insecure: true }, options = [] } = {}) {
    const gateway = new Gateway();
    gateway.folder = mkdtempSync('/var/tmp/nbdring-gateway.');
    gateway.tokens = join(gateway.folder, 'tokens');
    const config = join(gateway.folder, 'nbdring.toml');
    writeFileSync(config, gateway.configText(configurations, settings));
    gateway.process = spawn(nbdring, ['gateway', '--listen', '127.0.0.1:0', '--config', config, ...options]);
    gateway.log = '';
    gateway.printed = '';
    gateway.process.stderr.on('data', (text) => { gateway.log += text; });
    gateway.process.stdout.on('data', (text) => { gateway.printed += text; });
    gateway.ended = new Promise((resolve) => { gateway.process.on('exit', (code) => resolve(code)); });
    gateway.url = await gateway.whenItListens();
    return gateway;
  }

  configText(configurations, settings) {
    const ours = { 'state-dir': join(this.folder, 'state.d'), ...(settings.insecure ? {} : { tokens: this.tokens }) };
    let text = `[gateway]\n${toml({ ...ours, ...settings })}`;
    for (const [name, table] of Object.entries(configurations)) {
      text += `[gateway.configurations.${name}]\n${toml({ socket: this.socket(name), ...table })}`;
    }
    return text;
  }

  async whenItListens() {
    const url = () => this.printed.match(/https?:\/\/\S+/)?.[0] ?? this.process.exitCode !== null;
    const found = await until('the gateway listens', 20_000, url).catch(() => true);
    if (found !== true) return found.replace(/\/*$/, '/');
    throw new Error(`the gateway did not start: ${this.log}`);
  }

  socket(name = '0') {
    return join(this.folder, `${name}.sock`);
  }

  uri(name = '0') {
    return `nbd+unix:///?socket=${this.socket(name)}`;
  }

  // Where a session has begun, its socket takes clients.
  async serving(name = '0') {
    await until(`${this.socket(name)} is there: ${this.log}`, 20_000, () => existsSync(this.socket(name)));
    return this.uri(name);
  }

  over(name = '0') {
    return until(`${this.socket(name)} is gone: ${this.log}`, 20_000, () => !existsSync(this.socket(name)));
  }

  async token(...options) {
    const { stdout } = await run(nbdring, ['token', 'create', '--store', this.tokens, ...options]);
    return stdout.trim();
  }

  async stop() {
    this.process.kill('SIGTERM');
    const hung = setTimeout(() => this.process.kill('SIGKILL'), 20_000);
    const status = await this.ended;
    clearTimeout(hung);
    rmSync(this.folder, { recursive: true, force: true });
    if (status !== 0) throw new Error(`the gateway ended with status ${status}: ${this.log}`);
  }
}
