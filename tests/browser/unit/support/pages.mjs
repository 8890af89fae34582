// Where the page's modules are, and small things that several tests need.

export const page = new URL('../../../../backends/websocket/page/', import.meta.url);
export const load = (name) => import(new URL(name, page));

// Numbers from 0 to 1 that are the same each time (mulberry32).
export function seeded(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), seed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function randomBytes(length, random) {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = random() * 256;
  return bytes;
}

// A store in plain memory: what the overlay and the protocol are compared with.
export class MemoryStore {
  readOnly = false;
  flushes = 0;
  calls = [];

  constructor(bytes) {
    this.bytes = bytes;
    this.size = bytes.length;
  }

  tryRead(offset, target) {
    this.readNow(offset, target);
    return true;
  }

  readNow(offset, target) {
    target.set(this.bytes.subarray(offset, offset + target.length));
  }

  async readLater(offset, target) {
    await null;
    this.readNow(offset, target);
  }

  write(offset, bytes) {
    this.calls.push('write');
    this.bytes.set(bytes, offset);
  }

  zero(offset, length, { allocate = false } = {}) {
    this.calls.push(allocate ? 'allocate' : 'zero');
    this.bytes.fill(0, offset, offset + length);
  }

  trim(offset, length) {
    this.calls.push('trim');
    this.bytes.fill(0, offset, offset + length);
  }

  flush() {
    this.calls.push('flush');
    this.flushes++;
  }

  prefetch() {
    this.calls.push('prefetch');
  }

  extents(offset, length) {
    const half = Math.floor(length / 2);
    return half > 0
      ? [
          { length: half, flags: 0 },
          { length: length - half, flags: 3 },
        ]
      : [{ length, flags: 0 }];
  }
}
