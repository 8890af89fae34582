// One page in the browser, used as a person would: files are chosen or dropped, buttons clicked, keys pressed. What the
// page itself complains of (exceptions, console errors, breaches of its policy) is kept in `complaints`.

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

// Chromium itself logs a connection that came too late for its session, as the last of several may on a busy machine.
const isTooLate = (text) => /^WebSocket connection to .* Unexpected response code: 409/.test(text);

const patience = 20_000; // ms: for a loaded machine; what is quick ends at once

export class Page {
  constructor(devtools, targetId, sessionId) {
    Object.assign(this, { devtools, targetId, sessionId });
    this.complaints = [];
    this.dialogs = [];
    this.loads = 0;
    devtools.listeners.set(sessionId, (method, parameters) => this.hear(method, parameters));
  }

  send(command, parameters) {
    return this.devtools.send(command, parameters, this.sessionId);
  }

  async prepare(before) {
    for (const domain of ['Page', 'Runtime', 'Log', 'DOM']) await this.send(`${domain}.enable`);
    if (before) await this.send('Page.addScriptToEvaluateOnNewDocument', { source: before });
    await this.resize(1100, 800);
  }

  hear(method, parameters) {
    if (method === 'Page.loadEventFired') this.loads++;
    if (method === 'Page.javascriptDialogOpening') {
      this.dialogs.push(parameters.type);
      this.send('Page.handleJavaScriptDialog', { accept: true }).catch(() => {});
    }
    if (method === 'Runtime.exceptionThrown') {
      const { text, exception } = parameters.exceptionDetails;
      this.complaints.push(`${text} ${exception?.description ?? ''}`);
    }
    if (method === 'Runtime.consoleAPICalled' && parameters.type === 'error') {
      this.complaints.push(parameters.args.map((argument) => argument.value ?? argument.description).join(' '));
    }
    if (method === 'Log.entryAdded' && parameters.entry.level === 'error' && !isTooLate(parameters.entry.text)) {
      this.complaints.push(`${parameters.entry.text} ${parameters.entry.url ?? ''}`);
    }
  }

  async load(command, parameters) {
    const before = this.loads;
    const { errorText } = await this.send(command, parameters) ?? {};
    if (errorText) throw new Error(`${parameters.url}: ${errorText}`);
    for (const end = Date.now() + patience; this.loads === before;) {
      if (Date.now() > end) throw new Error(`${command} ${parameters.url ?? ''}: not loaded`);
      await delay(10);
    }
  }

  goto(url) {
    return this.load('Page.navigate', { url });
  }

  reload() {
    return this.load('Page.reload', {});
  }

  // Runs a function in the page, with arguments that JSON can carry, and returns what it (or its promise) gives.
  async evaluate(what, ...values) {
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', {
      expression: `(${what})(${values.map((value) => JSON.stringify(value)).join(', ')})`,
      awaitPromise: true, returnByValue: true, userGesture: true,
    });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  // Waits until the function gives something true, and returns that.
  async waitFor(what, ...values) {
    let seen;
    for (const end = Date.now() + patience; Date.now() < end; await delay(20)) {
      seen = await this.evaluate(what, ...values).catch((error) => { seen = error; });
      if (seen) return seen;
    }
    const text = await this.text().catch((error) => String(error));
    throw new Error(`not within ${patience / 1000} s: ${what} ${JSON.stringify(values)}\n--- the page says:\n${text}`);
  }

  text() {
    return this.evaluate(() => document.body.innerText);
  }

  waitForText(pattern) {
    const { source, flags } = new RegExp(pattern);
    return this.waitFor((from, how) => document.body.innerText.match(new RegExp(from, how))?.[0], source, flags);
  }

  async node(selector) {
    await this.waitFor((wanted) => document.querySelector(wanted) !== null, selector);
    const { root } = await this.send('DOM.getDocument', { depth: 0 });
    return (await this.send('DOM.querySelector', { nodeId: root.nodeId, selector })).nodeId;
  }

  async setFiles(selector, ...files) {
    await this.send('DOM.setFileInputFiles', { nodeId: await this.node(selector), files });
  }

  // The middle of what the person sees of an element.
  async middle(selector) {
    await this.waitFor((wanted) => document.querySelector(wanted)?.getClientRects().length > 0, selector);
    const nodeId = await this.node(selector);
    await this.send('DOM.scrollIntoViewIfNeeded', { nodeId });
    const { quads: [quad] } = await this.send('DOM.getContentQuads', { nodeId });
    return { x: (quad[0] + quad[4]) / 2, y: (quad[1] + quad[5]) / 2 };
  }

  async click(selector) {
    const place = { ...await this.middle(selector), button: 'left', clickCount: 1 };
    for (const type of ['mousePressed', 'mouseReleased']) {
      await this.send('Input.dispatchMouseEvent', { type, ...place });
    }
  }

  async press(key, code = key) {
    const text = key === 'Enter' ? '\r' : key.length === 1 ? key : undefined;
    const keyCode = { Enter: 13, Tab: 9, ' ': 32, Escape: 27 }[key];
    const event = { key, code, text, windowsVirtualKeyCode: keyCode };
    await this.send('Input.dispatchKeyEvent', { type: text ? 'keyDown' : 'rawKeyDown', ...event });
    await this.send('Input.dispatchKeyEvent', { type: 'keyUp', ...event });
  }

  async drop(selector, ...files) {
    const place = await this.middle(selector);
    const data = { items: [], files, dragOperationsMask: 1 };
    for (const type of ['dragEnter', 'dragOver', 'drop']) {
      await this.send('Input.dispatchDragEvent', { type, ...place, data });
    }
  }

  resize(width, height) {
    return this.send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: false });
  }

  scheme(value) {
    return this.send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value }] });
  }

  // The whole page, not only what fits into the window.
  async screenshot(path) {
    const { cssContentSize } = await this.send('Page.getLayoutMetrics');
    const clip = { x: 0, y: 0, width: cssContentSize.width, height: cssContentSize.height, scale: 1 };
    const { data } = await this.send('Page.captureScreenshot', { format: 'png', captureBeyondViewport: true, clip });
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, Buffer.from(data, 'base64'));
  }

  async close() {
    await this.devtools.send('Target.closeTarget', { targetId: this.targetId });
  }
}
