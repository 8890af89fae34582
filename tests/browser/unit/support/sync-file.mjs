// A sync access handle as OPFS gives it, in memory, with the two layers that a crash tells apart: what write() handed
// over survives the page, what flush() confirmed survives the machine.

export class SyncFile {
  #volatile = new Uint8Array(0);
  #durable = new Uint8Array(0);
  #unflushed = []; // {at, bytes} or {size}, since the last flush
  #log;
  #roomBytes;

  // log(step): called before each step that changes something; it may throw, and then nothing has happened.
  constructor({ log = () => {}, roomBytes = Infinity } = {}) {
    this.#log = log;
    this.#roomBytes = roomBytes;
  }

  getSize() {
    return this.#volatile.length;
  }

  read(target, { at = 0 } = {}) {
    const bytes = this.#volatile.subarray(at, at + target.length);
    target.set(bytes);
    return bytes.length;
  }

  write(source, { at = 0 } = {}) {
    this.#log('write');
    if (at + source.length > this.#roomBytes) throw new DOMException('full', 'QuotaExceededError');
    this.#unflushed.push({ at, bytes: source.slice() });
    this.#volatile = applied(this.#volatile, { at, bytes: source });
    return source.length;
  }

  truncate(size) {
    this.#log('truncate');
    this.#unflushed.push({ size });
    this.#volatile = applied(this.#volatile, { size });
  }

  flush() {
    this.#log('flush');
    this.#durable = this.#volatile.slice();
    this.#unflushed = [];
  }

  close() {}

  // What the page finds after it was reloaded.
  afterReload(options) {
    return SyncFile.#with(this.#volatile, options);
  }

  // What is there after the power failed: of what was not flushed, each step is there or is not; a write may be torn.
  afterPowerFailure(random, options) {
    let bytes = this.#durable;
    for (const step of this.#unflushed) {
      if (random() < 0.5) continue;
      if (step.bytes && random() < 0.2) {
        const torn = Math.floor((random() * step.bytes.length) / 4) * 4;
        bytes = applied(bytes, { at: step.at, bytes: step.bytes.subarray(0, torn) });
      } else {
        bytes = applied(bytes, step);
      }
    }
    return SyncFile.#with(bytes, options);
  }

  static #with(bytes, options) {
    const file = new SyncFile(options);
    file.#volatile = bytes.slice();
    file.#durable = bytes.slice();
    return file;
  }
}

function applied(before, { at, bytes, size }) {
  const length = size ?? Math.max(before.length, at + bytes.length);
  const after = new Uint8Array(length);
  after.set(before.subarray(0, length));
  if (bytes) after.set(bytes, at);
  return after;
}
