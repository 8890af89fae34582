// A writable store over an image that cannot be written: changed blocks go to files of this origin (OPFS), the image
// stays as it is until its user says what is to become of the changes.
//
// What holds, also when the tab, the browser or the machine dies at any step:
//  - A write that was acknowledged survives a reload of the page: data and map record are handed to the files before
//    the reply. Only a FLUSH (or FUA) makes them safe from a power failure: first the data, then a mark in the map.
//  - After a power failure a block that was not flushed is as it was before, or as it was written: a record behind the
//    last mark counts only if the slot's bytes have its hash.
//  - A slot is not used again while a durable map may still name it (overlay-slots.js).
// Runs where createSyncAccessHandle() does: in a worker, alone (the browser locks the files).

import { DamagedOverlay, OverlayJournal, record, writeWhole } from './overlay-journal.js';
import { blockBytes, inImage, isZero, OverlayMap } from './overlay-map.js';
import { OverlaySlots } from './overlay-slots.js';
import { errno, extentFlag, StoreError } from './nbd-wire.js';

const journalBytesMax = 32 * 1024 * 1024; // then it is written anew, if that makes it much smaller
const zeroPiece = new Uint8Array(1024 * 1024);
export const overlaySizeMax = 2 ** 31 * blockBytes; // slots and blocks are 31 bits: 8 TiB

export class Overlay {
  #image;
  #data;
  #journal;
  #map = new OverlayMap();
  #slots;
  #unsettled = new Set(); // blocks whose record is behind the last mark
  #isDirty = false;
  readOnly = false;

  // files: {data, maps: [two]} of sync access handles; identity: {size, tag}. Throws DamagedOverlay.
  constructor(image, files, identity) {
    this.#image = image;
    this.#data = files.data;
    this.#journal = new OverlayJournal(files.maps, identity);
    this.size = image.size;
    this.#restore(this.#journal.load(this.#data.getSize() > 0));
    this.#slots = OverlaySlots.from(this.#usedSlots());
    this.#data.flush();
    this.#journal.compact(this.#map.changes());
  }

  get hasChanges() {
    return !this.#map.isEmpty;
  }

  get changedBytes() {
    return (this.#map.dataBlocks + this.#map.zeroBlocks) * blockBytes;
  }

  get storedBytes() {
    return this.#map.dataBlocks * blockBytes;
  }

  // {offset, length, at}: at is the place in the data file, or null for zeroes. In the order of the image.
  *changes() {
    for (const { block, count, value } of this.#map.changes()) {
      const offset = block * blockBytes;
      const length = Math.min(count * blockBytes, this.size - offset);
      yield { offset, length, at: value > 0 ? (value - 1) * blockBytes : null };
    }
  }

  tryRead(offset, target) {
    return this.#read(offset, target, (at, piece) => this.#image.tryRead(at, piece));
  }

  readNow(offset, target) {
    this.#read(offset, target, (at, piece) => {
      this.#image.readNow(at, piece);
      return true;
    });
  }

  async readLater(offset, target) {
    await this.#image.readLater(offset, target);
    // Only now: what was written meanwhile is newer than what the image has.
    this.#read(offset, target, () => true);
  }

  prefetch(offset, length) {
    this.#image.prefetch(offset, length);
  }

  write(offset, bytes) {
    this.#change(() => {
      for (let at = 0; at < bytes.length;) {
        const block = Math.floor((offset + at) / blockBytes);
        const within = (offset + at) % blockBytes;
        const left = bytes.length - at;
        const isPart = within > 0 || left < blockBytes;
        const length = isPart ? Math.min(blockBytes - within, left) : left - (left % blockBytes);
        const piece = bytes.subarray(at, at + length);
        if (isPart) this.#writePart(block, within, piece);
        else this.#writeBlocks(block, piece);
        at += length;
      }
    });
  }

  zero(offset, length, { allocate = false } = {}) {
    if (allocate) {
      for (let at = 0; at < length; at += zeroPiece.length) {
        this.write(offset + at, zeroPiece.subarray(0, Math.min(zeroPiece.length, length - at)));
      }
      return;
    }
    this.#change(() => {
      const { first, behind } = this.#wholeBlocks(offset, offset + length);
      const end = offset + length;
      if (first >= behind) {
        for (let at = offset; at < end;) at = this.#zeroPart(at, Math.min(end, nextBlock(at)));
        return;
      }
      if (offset < first * blockBytes) this.#zeroPart(offset, first * blockBytes);
      this.#zeroBlocks(first, behind - first);
      if (behind * blockBytes < end) this.#zeroPart(behind * blockBytes, end);
    });
  }

  trim(offset, length) {
    const { first, behind } = this.#wholeBlocks(offset, offset + length);
    if (first < behind) this.#change(() => this.#zeroBlocks(first, behind - first));
  }

  flush() {
    if (!this.#isDirty) return;
    this.#changing(() => {
      this.#journal.write();
      this.#data.flush();
      this.#journal.append(record.mark, {});
      this.#journal.write();
      this.#journal.flush();
      this.#unsettled.clear();
      this.#slots.settle();
      this.#isDirty = false;
      this.#compactIfWorthIt();
    });
  }

  extents(offset, length) {
    const extents = [];
    const first = Math.floor(offset / blockBytes);
    const behind = Math.ceil((offset + length) / blockBytes);
    for (const { block, count, value } of this.#map.runs(first, behind - first)) {
      const from = Math.max(offset, block * blockBytes);
      const to = Math.min(offset + length, (block + count) * blockBytes);
      const flags = value === isZero ? extentFlag.hole | extentFlag.zero : 0;
      const last = extents[extents.length - 1];
      if (last && last.flags === flags) last.length += to - from;
      else if (extents.length === 1024) break;
      else extents.push({ length: to - from, flags });
    }
    return extents;
  }

  close() {
    this.flush();
    this.#data.close();
    this.#journal.close();
  }

  // ---- reading

  #read(offset, target, fromImage) {
    const first = Math.floor(offset / blockBytes);
    const behind = Math.ceil((offset + target.length) / blockBytes);
    if (this.#map.isEmpty) return fromImage(offset, target);
    let from = offset;
    // Neighbouring runs of the image are one read of it, however many chunks of the map they cross.
    let imageFrom = -1;
    for (const { block, count, value } of this.#map.runs(first, behind - first)) {
      const to = Math.min(offset + target.length, (block + count) * blockBytes);
      if (value === inImage) {
        if (imageFrom < 0) imageFrom = from;
      } else {
        if (imageFrom >= 0 && !fromImage(imageFrom, target.subarray(imageFrom - offset, from - offset))) return false;
        imageFrom = -1;
        this.#readChanged(target.subarray(from - offset, to - offset), value, from - block * blockBytes);
      }
      from = to;
    }
    return imageFrom < 0 || fromImage(imageFrom, target.subarray(imageFrom - offset));
  }

  #readChanged(target, value, within) {
    if (value === isZero) {
      target.fill(0);
      return;
    }
    const at = (value - 1) * blockBytes + within;
    if (this.#data.read(target, { at }) !== target.length)
      throw new StoreError(errno.io, 'the kept changes are damaged');
  }

  // ---- changing

  // The records of a change reach the file before its reply; what fails is told as the error that it is.
  #change(act) {
    this.#isDirty = true;
    this.#changing(() => {
      // Records that found no room before: nothing is added to them until they are written.
      if (this.#journal.isBehind) this.#journal.write();
      act();
      this.#journal.write();
    });
  }

  #changing(act) {
    try {
      act();
    } catch (error) {
      if (error instanceof StoreError) throw error;
      if (error.name === 'QuotaExceededError')
        throw new StoreError(errno.noSpace, 'the browser has no room for changes');
      throw new StoreError(errno.io, `the changes cannot be kept (${error.name}: ${error.message})`);
    }
  }

  #writePart(block, within, piece) {
    const value = this.#map.get(block);
    if (value > 0) {
      writeWhole(this.#data, piece, (value - 1) * blockBytes + within);
      if (this.#unsettled.has(block)) this.#recordAgain(block, value - 1);
      return;
    }
    const whole = new Uint8Array(blockBytes);
    if (value === inImage) {
      this.#image.readNow(
        block * blockBytes,
        whole.subarray(0, Math.min(blockBytes, this.size - block * blockBytes)),
      );
    }
    whole.set(piece, within);
    this.#writeBlocks(block, whole);
  }

  #writeBlocks(first, bytes) {
    for (const { block, count, value } of [...this.#map.runs(first, bytes.length / blockBytes)]) {
      const from = (block - first) * blockBytes;
      const piece = bytes.subarray(from, from + count * blockBytes);
      if (value > 0) this.#writeInPlace(block, value - 1, piece);
      else this.#writeAnew(block, piece);
    }
  }

  #writeInPlace(block, slot, bytes) {
    writeWhole(this.#data, bytes, slot * blockBytes);
    for (let at = 0; at < bytes.length; at += blockBytes) {
      const one = block + at / blockBytes;
      if (this.#unsettled.has(one))
        this.#recordData(one, slot + at / blockBytes, bytes.subarray(at, at + blockBytes));
    }
  }

  #writeAnew(first, bytes) {
    for (let done = 0; done < bytes.length;) {
      const block = first + done / blockBytes;
      const [slot, count] = this.#slots.take((bytes.length - done) / blockBytes);
      const piece = bytes.subarray(done, done + count * blockBytes);
      try {
        writeWhole(this.#data, piece, slot * blockBytes);
      } catch (error) {
        this.#slots.untake(slot, count);
        throw error;
      }
      this.#map.setData(block, count, slot);
      for (let i = 0; i < count; i++) {
        this.#recordData(block + i, slot + i, piece.subarray(i * blockBytes, (i + 1) * blockBytes));
      }
      done += piece.length;
    }
  }

  #recordData(block, slot, bytes) {
    this.#unsettled.add(block);
    this.#journal.append(record.data, { block, count: 1, slot, hash: hashOf(bytes) });
  }

  // A part of a block was written whose record has the hash of what was there before.
  #recordAgain(block, slot) {
    const bytes = new Uint8Array(blockBytes);
    this.#data.read(bytes, { at: slot * blockBytes });
    this.#recordData(block, slot, bytes);
  }

  #zeroPart(from, to) {
    const block = Math.floor(from / blockBytes);
    if (this.#map.get(block) !== isZero) {
      this.#writePart(block, from - block * blockBytes, zeroPiece.subarray(0, to - from));
    }
    return to;
  }

  #zeroBlocks(first, count) {
    const runs = [...this.#map.runs(first, count)];
    if (runs.every(({ value }) => value === isZero)) return;
    for (const { block, count: length, value } of runs) {
      if (value > 0) this.#slots.giveUp(value - 1, length);
      if (value > 0) for (let i = 0; i < length; i++) this.#unsettled.delete(block + i);
    }
    this.#map.setZero(first, count);
    this.#journal.append(record.zero, { block: first, count });
  }

  #wholeBlocks(from, to) {
    const first = Math.ceil(from / blockBytes);
    // The image's last block may be a short one: to its end is to the block's.
    return { first, behind: to === this.size ? Math.ceil(to / blockBytes) : Math.floor(to / blockBytes) };
  }

  #compactIfWorthIt() {
    if (this.#journal.bytes < journalBytesMax) return;
    const runs = [...this.#map.changes()];
    if (runs.length * 24 > this.#journal.bytes / 2) return;
    try {
      this.#journal.compact(runs);
    } catch (error) {
      // No room for both: the long journal goes on. What was flushed is safe in it.
      if (error.name !== 'QuotaExceededError') throw error;
    }
  }

  // ---- after a reload

  #restore(records) {
    const marks = records.map(({ kind }) => kind).lastIndexOf(record.mark);
    const doubtful = new Map(); // block -> its newest record behind the mark
    records.forEach(({ kind, block, count, slot, hash }, index) => {
      if ((block + count) * blockBytes > this.size + blockBytes)
        throw new DamagedOverlay('the kept changes are damaged');
      if (kind === record.zero) {
        this.#map.setZero(block, count);
        if (count < doubtful.size) for (let one = block; one < block + count; one++) doubtful.delete(one);
        else for (const one of doubtful.keys()) if (one >= block && one < block + count) doubtful.delete(one);
      } else if (kind === record.run || (kind === record.data && index < marks)) {
        this.#map.setData(block, count, slot);
      } else if (kind === record.data) {
        doubtful.set(block, { slot, hash });
      }
    });
    const bytes = new Uint8Array(blockBytes);
    for (const [block, { slot, hash }] of doubtful) {
      if (this.#data.read(bytes, { at: slot * blockBytes }) === blockBytes && hashOf(bytes) === hash) {
        this.#map.setData(block, 1, slot);
      }
    }
  }

  *#usedSlots() {
    for (const { count, value } of this.#map.changes()) if (value > 0) yield [value - 1, count];
  }
}

function nextBlock(offset) {
  return (Math.floor(offset / blockBytes) + 1) * blockBytes;
}

// Of one block, quick: it is computed for every block that is written. Murmur3's mixing of 32-bit words.
export function hashOf(bytes) {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  const words = new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.length / 4);
  let hash = words.length;
  for (let i = 0; i < words.length; i++) {
    let word = Math.imul(words[i], 0xcc9e2d51);
    word = Math.imul((word << 15) | (word >>> 17), 0x1b873593);
    hash ^= word;
    hash = (Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64) | 0;
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
