// An image as a store that can be read: a File (or anything with size and slice()). Small reads go through a bounded
// cache of blocks: they pay for the call more than for the bytes, so a miss takes whole blocks and neighbouring misses
// are one call; sequential readers find their data there because it was fetched while earlier replies were on their
// way. Large reads go beside the cache.
//
// What is not here is read asynchronously, all requests at once: a browser takes milliseconds for a call, and who waits
// for each (FileReaderSync) has them one after the other. Nothing is read twice: a reader waits for a block that is on
// its way already. Only readNow() waits, for the overlay, which needs the rest of a block that is written in part.

import { BlockCache } from './block-cache.js';
import { errno, StoreError } from './nbd-wire.js';
import { ReadStreams } from './read-streams.js';

const blockBytes = 64 * 1024;
const fetchBytesMax = 1024 * 1024; // one call: more would hold up the replies behind it
const fetchingBytesMax = 16 * 1024 * 1024; // ahead of readers, at once
const directBytes = 256 * 1024; // a read from here on goes beside the cache: no copies, and parallel by itself

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
    if (target.length < directBytes) this.#readAhead(offset, target.length);
    if (!this.#isHere(offset, target.length)) return false;
    this.readNow(offset, target);
    return true;
  }

  async readLater(offset, target) {
    if (target.length < directBytes) {
      this.#fetch(offset, offset + target.length);
      await Promise.all(this.#waitFor(offset, target.length));
      if (this.#isHere(offset, target.length)) return this.readNow(offset, target);
    }
    // Large, or what was fetched is gone again, or failed: then this fails too, and tells.
    target.set(await this.#loadLater(offset, offset + target.length));
  }

  // Whatever is fetched already or not: for whoever cannot wait.
  readNow(offset, target) {
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
      return checked(this.#reader.now(this.#file.slice(from, to)), to - from);
    } catch (error) {
      throw unreadable(error);
    }
  }

  async #loadLater(from, to) {
    try {
      return checked(await this.#reader.later(this.#file.slice(from, to)), to - from);
    } catch (error) {
      throw unreadable(error);
    }
  }

  #isHere(offset, length) {
    const behind = Math.ceil((offset + length) / blockBytes);
    for (let number = Math.floor(offset / blockBytes); number < behind; number++) {
      if (!this.#cache.has(number)) return false;
    }
    return true;
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

function checked(buffer, length) {
  if (buffer.byteLength !== length) throw new StoreError(errno.io, 'the image has become shorter');
  return new Uint8Array(buffer);
}

function unreadable(error) {
  if (error instanceof StoreError) return error;
  return new StoreError(errno.io, `the image cannot be read any more (${error.name})`);
}

// Copies what both have in common; each is at a place of the image.
function copyInto(target, targetAt, source, sourceAt) {
  const from = Math.max(targetAt, sourceAt);
  const to = Math.min(targetAt + target.length, sourceAt + source.length);
  if (from < to) target.set(source.subarray(from - sourceAt, to - sourceAt), from - targetAt);
}
