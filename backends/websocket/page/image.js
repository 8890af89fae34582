// An image as a store that can be read: a File (or anything with size and slice()), read in blocks through a bounded
// cache. Small reads pay for the call more than for the bytes, so a miss takes whole blocks and neighbouring misses
// are one call; sequential readers find their data there because it was fetched while earlier replies were on their
// way.
//
// A reader that finds its block on the way already waits for it (tryRead() says false) instead of reading it twice.

import { BlockCache } from './block-cache.js';
import { errno, StoreError } from './nbd-wire.js';
import { ReadStreams } from './read-streams.js';

const blockBytes = 64 * 1024;
const fetchBytesMax = 1024 * 1024; // one call: more would hold up the replies behind it
const fetchingBytesMax = 16 * 1024 * 1024; // ahead of readers, at once
const directBytes = 2 * 1024 * 1024; // a read from here on fills its own buffer, beside the cache

export class Image {
  #file;
  #reader;
  #cache;
  #streams = new ReadStreams();
  #fetching = new Map(); // block number -> promise of its run
  #fetchingBytes = 0;
  readOnly = true;

  // reader: {now(blob) -> ArrayBuffer, later(blob) -> Promise of one}; both throw when the file is not what it was.
  constructor(file, reader, { cacheBytes = 64 * 1024 * 1024 } = {}) {
    this.#file = file;
    this.#reader = reader;
    this.#cache = new BlockCache(cacheBytes);
    this.size = file.size;
  }

  tryRead(offset, target) {
    if (target.length === 0) return true;
    this.#readAhead(offset, target.length);
    if (this.#waitFor(offset, target.length).length > 0) return false;
    this.readNow(offset, target);
    return true;
  }

  async readLater(offset, target) {
    await this.arrival(offset, target.length);
    this.readNow(offset, target);
  }

  // When what is on its way for this range has come, or failed: then readNow() fails too, and tells.
  arrival(offset, length) {
    return Promise.all(this.#waitFor(offset, length));
  }

  // Whatever is fetched already or not: for whoever cannot wait.
  readNow(offset, target) {
    if (target.length >= directBytes) {
      target.set(this.#load(offset, offset + target.length));
      return;
    }
    const first = Math.floor(offset / blockBytes);
    const last = Math.floor((offset + target.length - 1) / blockBytes);
    for (let number = first; number <= last;) {
      const block = this.#cache.get(number);
      if (block) {
        copyInto(target, offset, block, number * blockBytes);
        number++;
        continue;
      }
      let behind = number + 1;
      while (behind <= last && !this.#cache.has(behind)) behind++;
      const bytes = this.#load(number * blockBytes, Math.min(behind * blockBytes, this.size));
      copyInto(target, offset, bytes, number * blockBytes);
      this.#keep(number, bytes);
      number = behind;
    }
  }

  prefetch(offset, length) {
    this.#fetch(offset, Math.min(offset + length, offset + fetchingBytesMax));
  }

  // A File says nothing about its holes.
  extents(_offset, length) {
    return [{ length, flags: 0 }];
  }

  flush() {}

  write() {
    throw new StoreError(errno.perm, 'the image is read-only');
  }

  trim() {
    this.write();
  }

  zero() {
    this.write();
  }

  #load(from, to) {
    try {
      const bytes = new Uint8Array(this.#reader.now(this.#file.slice(from, to)));
      if (bytes.length === to - from) return bytes;
    } catch (error) {
      throw new StoreError(errno.io, `the image cannot be read any more (${error.name})`);
    }
    throw new StoreError(errno.io, 'the image has become shorter');
  }

  #keep(number, bytes) {
    // A copy per block: a view would keep the whole run in memory for as long as one of its blocks is in the cache.
    for (let at = 0; at < bytes.length; at += blockBytes) {
      this.#cache.put(
        number + at / blockBytes,
        bytes.length <= blockBytes ? bytes : bytes.slice(at, at + blockBytes),
      );
    }
  }

  #waitFor(offset, length) {
    if (this.#fetching.size === 0) return [];
    const runs = new Set();
    for (let number = Math.floor(offset / blockBytes); number * blockBytes < offset + length; number++) {
      const run = this.#fetching.get(number);
      if (run) runs.add(run);
    }
    return [...runs];
  }

  #readAhead(offset, length) {
    const ahead = this.#streams.note(offset, length);
    if (ahead) this.#fetch(ahead.from, ahead.to);
  }

  #fetch(from, to) {
    const behind = Math.ceil(Math.min(to, this.size) / blockBytes);
    let number = Math.floor(from / blockBytes);
    while (number < behind && this.#fetchingBytes < fetchingBytesMax) {
      if (this.#isHereOrComing(number)) {
        number++;
        continue;
      }
      let end = number + 1;
      while (end < behind && (end - number) * blockBytes < fetchBytesMax && !this.#isHereOrComing(end)) end++;
      this.#fetchRun(number, end);
      number = end;
    }
  }

  #isHereOrComing(number) {
    return this.#cache.has(number) || this.#fetching.has(number);
  }

  #fetchRun(first, behind) {
    const bytes = Math.min(behind * blockBytes, this.size) - first * blockBytes;
    this.#fetchingBytes += bytes;
    const run = this.#reader
      .later(this.#file.slice(first * blockBytes, first * blockBytes + bytes))
      .then(
        (buffer) => {
          if (buffer.byteLength === bytes) this.#keep(first, new Uint8Array(buffer));
        },
        () => {}, // whoever needs these bytes reads them himself, and hears the reason
      )
      .finally(() => {
        this.#fetchingBytes -= bytes;
        for (let number = first; number < behind; number++) this.#fetching.delete(number);
      });
    for (let number = first; number < behind; number++) this.#fetching.set(number, run);
  }
}

// Copies what both have in common; each is at a place of the image.
function copyInto(target, targetAt, source, sourceAt) {
  const from = Math.max(targetAt, sourceAt);
  const to = Math.min(targetAt + target.length, sourceAt + source.length);
  if (from < to) target.set(source.subarray(from - sourceAt, to - sourceAt), from - targetAt);
}
