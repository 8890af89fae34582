// Blocks of an image that were read lately, the least recently used ones dropped. A Map keeps the order of insertion,
// so taking a block out and putting it back makes it the youngest.

export class BlockCache {
  #blocks = new Map(); // number -> Uint8Array
  #bytes = 0;
  #bytesMax;

  constructor(bytesMax) {
    this.#bytesMax = bytesMax;
  }

  get bytes() {
    return this.#bytes;
  }

  has(number) {
    return this.#blocks.has(number);
  }

  get(number) {
    const block = this.#blocks.get(number);
    if (block) {
      this.#blocks.delete(number);
      this.#blocks.set(number, block);
    }
    return block;
  }

  put(number, block) {
    this.#drop(number);
    this.#blocks.set(number, block);
    this.#bytes += block.length;
    for (const oldest of this.#blocks.keys()) {
      if (this.#bytes <= this.#bytesMax) break;
      this.#drop(oldest);
    }
  }

  clear() {
    this.#blocks.clear();
    this.#bytes = 0;
  }

  #drop(number) {
    const block = this.#blocks.get(number);
    if (!block) return;
    this.#blocks.delete(number);
    this.#bytes -= block.length;
  }
}
