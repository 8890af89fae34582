// The image from its first byte to its last as a strip: what was read above, what was written below. What is touched
// right now is in full colour and fades.

import { prepared } from './graph.js';
import { region, regionCells } from './metrics.js';

const faded = 0.42;
const fading = 0.8; // per drawing

export class RegionMap {
  #canvas;
  #regions = new Uint8Array(regionCells);
  #heat = { [region.read]: new Float32Array(regionCells), [region.written]: new Float32Array(regionCells) };
  #isCalm;

  // isCalm: nothing may move.
  constructor(canvas, isCalm) {
    this.#canvas = canvas;
    this.#isCalm = isCalm;
  }

  // As Metrics.snapshot() has them.
  add(regions, recent) {
    this.#regions = regions;
    for (const kind of [region.read, region.written]) {
      const heat = this.#heat[kind];
      for (let i = 0; i < regionCells; i++) heat[i] = recent[i] & kind ? 1 : heat[i] * fading;
    }
  }

  // The share of the image that was touched: 0 to 1.
  share(kind) {
    return this.#regions.reduce((sum, cell) => sum + (cell & kind ? 1 : 0), 0) / regionCells;
  }

  // hasWriting: else what was read takes all of the height.
  draw(hasWriting) {
    const { context, width, height } = prepared(this.#canvas);
    const style = getComputedStyle(this.#canvas);
    const row = hasWriting ? (height - 2) / 2 : height;
    const colors = (name) => [style.getPropertyValue(name), style.getPropertyValue('--empty')];
    this.#drawRow(context, region.read, 0, row, width, ...colors('--read'));
    if (hasWriting) this.#drawRow(context, region.written, row + 2, row, width, ...colors('--written'));
  }

  #drawRow(context, kind, top, height, width, color, empty) {
    context.globalAlpha = 1;
    context.fillStyle = empty;
    context.fillRect(0, top, width, height);
    context.fillStyle = color;
    const shades = Array.from({ length: regionCells }, (_, i) => this.#shade(kind, i));
    // Neighbours of one shade are one rectangle, on whole pixels: else their seams show.
    for (let i = 0, behind; i < regionCells; i = behind) {
      behind = i + 1;
      while (behind < regionCells && shades[behind] === shades[i]) behind++;
      const from = Math.round((i * width) / regionCells);
      context.globalAlpha = shades[i];
      context.fillRect(from, top, Math.max(1, Math.round((behind * width) / regionCells) - from), height);
    }
    context.globalAlpha = 1;
  }

  #shade(kind, cell) {
    if (!(this.#regions[cell] & kind)) return 0;
    return this.#isCalm() ? 0.7 : faded + ((1 - faded) * Math.round(this.#heat[kind][cell] * 16)) / 16;
  }
}
