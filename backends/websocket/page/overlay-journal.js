// The overlay's map on the disk: a journal of changes, in one of two files.
//
// A file is a header and records of 24 bytes, each with its own checksum, seeded with the file's generation: reading
// ends at the first that is not whole. Records before the last MARK were durable together with their data when the
// mark was written. Later ones are believed only as far as the data's hash says so (overlay.js): after a mere reload
// of the page all of them hold, after a power failure those whose data had reached the disk.
//
// compact() writes the map as it is now into the other file, and its header last: whole or not there at all. Of two
// valid files the one with the higher generation is the newer.

import { viewOf } from './nbd-wire.js';

export const record = { data: 1, run: 2, zero: 3, mark: 4 };

const fileMagic = 0x4e52766f; // "NRvo"
const version = 1;
const headerBytes = 32;
const recordBytes = 24;
const pendingRecords = 4096; // that are collected before they are written; a larger request makes it more

export class DamagedOverlay extends Error {}

export class OverlayJournal {
  #files;
  #current = 0;
  #generation = 0;
  #end = 0; // bytes that are written
  #pending = new Uint8Array(pendingRecords * recordBytes);
  #pendingBytes = 0;
  #identity;

  // files: two sync access handles. identity: {size, tag}: of the image that the overlay belongs to; tag has 32 bits.
  constructor(files, identity) {
    this.#files = files;
    this.#identity = identity;
  }

  get bytes() {
    return this.#end + this.#pendingBytes;
  }

  // Something could not be written yet.
  get isBehind() {
    return this.#pendingBytes > 0;
  }

  // The records of the newer valid file, as {kind, block, count, slot, hash}; none for a fresh overlay. hasData:
  // there are slots that were written.
  load(hasData) {
    const [first, second] = this.#files.map((file) => this.#readHeader(file));
    this.#current = second.generation > first.generation ? 1 : 0;
    this.#generation = Math.max(first.generation, second.generation);
    if (this.#generation === 0) {
      // A torn header beside a whole one is a compaction that was cut off, without data the making of the overlay
      // was.
      if (hasData && (first.isTorn || second.isTorn)) throw new DamagedOverlay('the kept changes are damaged');
      return [];
    }
    const file = this.#files[this.#current];
    const bytes = new Uint8Array(Math.max(0, file.getSize() - headerBytes));
    const length = file.read(bytes, { at: headerBytes });
    return this.#parse(bytes.subarray(0, length));
  }

  // One record; write() makes it part of the file. Never fails: what is in the overlay's memory must be in here.
  append(kind, { block = 0, count = 0, slot = 0, hash = 0 }) {
    if (this.#pendingBytes === this.#pending.length) {
      const larger = new Uint8Array(2 * this.#pending.length);
      larger.set(this.#pending);
      this.#pending = larger;
    }
    const at = this.#pendingBytes;
    const view = new DataView(this.#pending.buffer, at, recordBytes);
    view.setUint32(0, kind);
    view.setUint32(4, block);
    view.setUint32(8, count);
    view.setUint32(12, slot);
    view.setUint32(16, hash);
    view.setUint32(20, checksum(this.#pending.subarray(at, at + 20), this.#generation));
    this.#pendingBytes += recordBytes;
  }

  // Hands what was appended to the file. When that fails nothing is lost: the next write() tries again, at the same
  // place.
  write() {
    if (this.#pendingBytes === 0) return;
    writeWhole(this.#files[this.#current], this.#pending.subarray(0, this.#pendingBytes), this.#end);
    this.#end += this.#pendingBytes;
    this.#pendingBytes = 0;
  }

  flush() {
    this.#files[this.#current].flush();
  }

  // runs: {block, count, value} of all that is changed, whose data are durable already. When it throws, the journal
  // is as it was before.
  compact(runs) {
    const before = [this.#current, this.#generation, this.#end];
    const old = this.#files[this.#current];
    const next = this.#files[1 - this.#current];
    try {
      this.#writeNext(next, runs);
    } catch (error) {
      [this.#current, this.#generation, this.#end] = before;
      this.#pendingBytes = 0;
      next.truncate(0);
      throw error;
    }
    old.truncate(0);
    old.flush();
  }

  #writeNext(next, runs) {
    next.truncate(0);
    next.flush();
    this.#current = 1 - this.#current;
    this.#generation++;
    this.#end = headerBytes;
    for (const { block, count, value } of runs) {
      if (value > 0) this.append(record.run, { block, count, slot: value - 1 });
      else this.append(record.zero, { block, count });
    }
    this.append(record.mark, {});
    this.write();
    next.flush();
    writeWhole(next, this.#header(), 0);
    next.flush();
  }

  close() {
    for (const file of this.#files) file.close();
  }

  #header() {
    const bytes = new Uint8Array(headerBytes);
    const view = viewOf(bytes);
    view.setUint32(0, fileMagic);
    view.setUint32(4, version);
    view.setUint32(8, this.#generation);
    view.setUint32(12, Math.floor(this.#identity.size / 2 ** 32));
    view.setUint32(16, this.#identity.size >>> 0);
    view.setUint32(20, this.#identity.tag);
    view.setUint32(28, checksum(bytes.subarray(0, 28), 0));
    return bytes;
  }

  // {generation, isTorn}; generation 0: the file was never finished, so nothing in it was ever promised to anybody.
  #readHeader(file) {
    const bytes = new Uint8Array(headerBytes);
    file.read(bytes, { at: 0 });
    const view = viewOf(bytes);
    if (bytes.every((byte) => byte === 0)) return { generation: 0, isTorn: false };
    if (view.getUint32(0) !== fileMagic || view.getUint32(28) !== checksum(bytes.subarray(0, 28), 0)) {
      return { generation: 0, isTorn: true };
    }
    if (view.getUint32(4) !== version)
      throw new DamagedOverlay('the kept changes are of another version of this page');
    const size = view.getUint32(12) * 2 ** 32 + view.getUint32(16);
    if (size !== this.#identity.size || view.getUint32(20) !== this.#identity.tag) {
      throw new DamagedOverlay('the kept changes belong to another image');
    }
    return { generation: view.getUint32(8), isTorn: false };
  }

  #parse(bytes) {
    const records = [];
    for (let at = 0; at + recordBytes <= bytes.length; at += recordBytes) {
      const view = viewOf(bytes.subarray(at, at + recordBytes));
      if (view.getUint32(20) !== checksum(bytes.subarray(at, at + 20), this.#generation)) break;
      records.push({
        kind: view.getUint32(0),
        block: view.getUint32(4),
        count: view.getUint32(8),
        slot: view.getUint32(12),
        hash: view.getUint32(16),
      });
    }
    return records;
  }
}

// A sync access handle may write less than it was given where room ends.
export function writeWhole(file, bytes, at) {
  const written = file.write(bytes, { at });
  if (written !== bytes.length) throw new DOMException('no room for all bytes', 'QuotaExceededError');
}

// FNV-1a: against torn and stale records, not against an enemy (who could write the file as he likes anyway).
function checksum(bytes, seed) {
  let hash = 0x811c9dc5 ^ seed;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}
