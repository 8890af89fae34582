// Headless Chromium for tests: one browser, with a profile of its own that goes when it does. Pages: page.mjs.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { DevTools } from './devtools.mjs';
import { Page } from './page.mjs';

const options = [
  '--headless=new', '--remote-debugging-pipe', '--no-first-run', '--no-default-browser-check', '--disable-gpu',
  '--disable-dev-shm-usage', '--disable-background-networking', '--disable-component-update', '--disable-sync',
  '--disable-extensions', '--hide-scrollbars', '--force-color-profile=srgb', '--password-store=basic',
];

export class Browser {
  // moreOptions: Chromium's.
  static async start(moreOptions = []) {
    const browser = new Browser();
    browser.profile = mkdtempSync(join(tmpdir(), 'nbdring-chromium.'));
    browser.downloads = join(browser.profile, 'downloads');
    // Chromium's sandbox does not start for root, which is who tests in many a container.
    const forRoot = process.getuid() === 0 ? ['--no-sandbox'] : [];
    const profile = `--user-data-dir=${browser.profile}`;
    browser.process = spawn('chromium', [...options, ...forRoot, profile, ...moreOptions], {
      stdio: ['ignore', 'ignore', process.env.NBDRING_BROWSER_LOG ? 'inherit' : 'ignore', 'pipe', 'pipe'],
    });
    browser.ended = new Promise((resolve) => { browser.process.on('exit', resolve); });
    browser.devtools = new DevTools(browser.process.stdio[4], browser.process.stdio[3]);
    await browser.devtools.send('Browser.setDownloadBehavior', { behavior: 'allow', downloadPath: browser.downloads });
    return browser;
  }

  // before: a script that each document of the page runs before its own.
  async open(url, { before = '' } = {}) {
    const { targetId } = await this.devtools.send('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await this.devtools.send('Target.attachToTarget', { targetId, flatten: true });
    const page = new Page(this.devtools, targetId, sessionId);
    await page.prepare(before);
    await page.goto(url);
    return page;
  }

  async close() {
    this.devtools.send('Browser.close').catch(() => {});
    const hung = setTimeout(() => this.process.kill('SIGKILL'), 10_000);
    await this.ended;
    clearTimeout(hung);
    await this.removeProfile();
  }

  // Its helper processes outlive it for a moment, and write.
  async removeProfile(tries = 50) {
    try {
      rmSync(this.profile, { recursive: true, force: true });
    } catch (error) {
      if (tries === 0) throw error;
      await delay(100);
      await this.removeProfile(tries - 1);
    }
  }
}
