// Our page as a test uses it: the one place that knows the page's document. An image is named by its file's name.

import { basename } from 'node:path';

const card = (name) => `article.card[data-image="${name}"]`;

export class ImagePage {
  static async open(browser, url, options) {
    const images = new ImagePage();
    images.page = await browser.open(url, options);
    return images;
  }

  choose(...files) {
    return this.page.setFiles('#image-input', ...files);
  }

  drop(...files) {
    return this.page.drop('#drop-zone', ...files);
  }

  state(name) {
    return this.page.evaluate((selector) => document.querySelector(selector)?.dataset.state, card(name));
  }

  // Until the image is in one of these states.
  reaches(name, ...states) {
    return this.page.waitFor(
      (selector, wanted) => wanted.find((state) => document.querySelector(selector)?.dataset.state === state),
      card(name), states);
  }

  act(name, action) {
    return this.page.click(`${card(name)} [data-action="${action}"]`);
  }

  async field(name, field, value) {
    await this.page.waitFor((selector) => document.querySelector(selector), `${card(name)} [data-field="${field}"]`);
    await this.page.evaluate((selector, text) => {
      const element = document.querySelector(selector);
      element.value = text;
      element.dispatchEvent(new Event('input', { bubbles: true }));
      element.dispatchEvent(new Event('change', { bubbles: true }));
    }, `${card(name)} [data-field="${field}"]`, value);
  }

  // The switch is turned as a person would: an image is as it was chosen until somebody touches it.
  async setWritable(name, wanted) {
    const selector = `${card(name)} [data-field="writable"]`;
    const is = await this.page.evaluate((at) => document.querySelector(at)?.checked ?? false, selector);
    if (is !== wanted) await this.page.click(selector);
  }

  value(name, what) {
    return this.page.evaluate(
      (selector) => document.querySelector(selector)?.textContent, `${card(name)} [data-value="${what}"]`);
  }

  // What stands in the image's alert, once there is one of this kind.
  notice(name, kind) {
    return this.page.waitFor((selector, wanted) => {
      const shown = [...document.querySelectorAll(selector)].find((element) => element.dataset.kind === wanted);
      return shown?.innerText;
    }, `${card(name)} .notice`, kind);
  }

  async attach(file, how) {
    await this.choose(file);
    return this.attachChosen(basename(file), how);
  }

  async attachChosen(name, { writable = false } = {}) {
    await this.reaches(name, 'chosen');
    await this.setWritable(name, writable);
    await this.act(name, 'attach');
    await this.reaches(name, 'attached');
    return name;
  }
}
