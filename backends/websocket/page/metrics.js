// What was served, counted where it is served: a few additions per request, a snapshot now and then for whoever draws
// it.

import { command } from './nbd-wire.js';

export const regionCells = 512;
export const region = { read: 1, written: 2 };

const samplesMax = 512; // latencies per snapshot; later ones of the same interval replace random earlier ones

export class Metrics {
  #size;
  #samples = new Float64Array(samplesMax);
  #latencies = 0;
  #regions = new Uint8Array(regionCells);
  #recent = new Uint8Array(regionCells);
  #now;
  counts = { bytesRead: 0, bytesWritten: 0, reads: 0, writes: 0, flushes: 0, errors: 0 };

  constructor(size, now = () => performance.now()) {
    this.#size = size;
    this.#now = now;
  }

  // As NbdConnection tells it; since: when the request was looked at first.
  served(what, offset, length, code, since) {
    const { counts } = this;
    if (code !== 0) counts.errors++;
    else if (what === command.read) {
      counts.reads++;
      counts.bytesRead += length;
      this.#mark(offset, length, region.read);
    } else if (what === command.write || what === command.writeZeroes || what === command.trim) {
      counts.writes++;
      if (what === command.write) counts.bytesWritten += length;
      this.#mark(offset, length, region.written);
    } else if (what === command.flush) counts.flushes++;
    const sample = this.#now() - since;
    const at = this.#latencies < samplesMax ? this.#latencies : Math.floor(Math.random() * (this.#latencies + 1));
    if (at < samplesMax) this.#samples[at] = sample;
    this.#latencies++;
  }

  // {…counts, median, slow (the 99th percentile): milliseconds or null, regions: ever, recent: since the last
  // snapshot}.
  snapshot() {
    const samples = this.#samples.slice(0, Math.min(this.#latencies, samplesMax)).sort();
    const part = (share) =>
      samples.length > 0 ? samples[Math.min(samples.length - 1, Math.floor(samples.length * share))] : null;
    const result = {
      ...this.counts,
      median: part(0.5),
      slow: part(0.99),
      regions: this.#regions.slice(),
      recent: this.#recent.slice(),
    };
    this.#latencies = 0;
    this.#recent.fill(0);
    return result;
  }

  #mark(offset, length, kind) {
    if (length === 0) return;
    const first = Math.floor((offset * regionCells) / this.#size);
    const last = Math.min(regionCells - 1, Math.floor(((offset + length - 1) * regionCells) / this.#size));
    for (let cell = first; cell <= last; cell++) {
      this.#regions[cell] |= kind;
      this.#recent[cell] |= kind;
    }
  }
}
