// Where each block of a writable image is: in the image itself, nowhere (it reads as zeroes), or in a slot of the
// overlay's data file. In memory; memory goes with what was changed, not with the image's size: a chunk of 1024
// blocks (4 MiB) has an entry only once one of them was changed, and one that was zeroed whole (a discard of a whole
// disk) is a single value.

export const blockBytes = 4096;
export const inImage = 0; // values of a block: these two, or its slot + 1
export const isZero = -1;

const chunkBlocks = 1024;
const zeroChunk = Symbol('all zero');

export class OverlayMap {
  #chunks = new Map(); // chunk number -> Int32Array of values, or zeroChunk
  dataBlocks = 0;
  zeroBlocks = 0;

  get isEmpty() {
    return this.#chunks.size === 0;
  }

  get(block) {
    const chunk = this.#chunks.get(Math.floor(block / chunkBlocks));
    if (chunk === undefined) return inImage;
    return chunk === zeroChunk ? isZero : chunk[block % chunkBlocks];
  }

  // Blocks that follow each other into slots that follow each other.
  setData(first, count, slot) {
    for (let i = 0; i < count; i++) this.#set(first + i, slot + 1 + i);
  }

  // restore: what get() had said.
  setValue(block, value) {
    this.#set(block, value);
  }

  setZero(first, count) {
    for (let block = first; block < first + count;) {
      if (block % chunkBlocks === 0 && first + count - block >= chunkBlocks) {
        this.#zeroChunk(block / chunkBlocks);
        block += chunkBlocks;
      } else {
        this.#set(block++, isZero);
      }
    }
  }

  // The range as runs {block, count, value}: a run's blocks have one value, or slots that follow each other from
  // there.
  *runs(first, count) {
    const end = first + count;
    for (let block = first; block < end;) {
      const number = Math.floor(block / chunkBlocks);
      const chunk = this.#chunks.get(number);
      const limit = Math.min(end, (number + 1) * chunkBlocks);
      let behind = limit;
      let value = chunk === undefined ? inImage : isZero;
      if (chunk !== undefined && chunk !== zeroChunk) {
        value = chunk[block % chunkBlocks];
        const step = value > 0 ? 1 : 0;
        behind = block + 1;
        while (behind < limit && chunk[behind % chunkBlocks] === value + step * (behind - block)) behind++;
      }
      yield { block, count: behind - block, value };
      block = behind;
    }
  }

  // All changed runs, in the order of the image.
  *changes() {
    for (const number of [...this.#chunks.keys()].sort((a, b) => a - b)) {
      for (const run of this.runs(number * chunkBlocks, chunkBlocks)) if (run.value !== inImage) yield run;
    }
  }

  #set(block, value) {
    const number = Math.floor(block / chunkBlocks);
    let chunk = this.#chunks.get(number);
    if (chunk === undefined || chunk === zeroChunk) {
      const before = chunk;
      chunk = new Int32Array(chunkBlocks);
      if (before === zeroChunk) chunk.fill(isZero);
      this.#chunks.set(number, chunk);
    }
    this.#count(chunk[block % chunkBlocks], -1);
    this.#count(value, 1);
    chunk[block % chunkBlocks] = value;
  }

  #zeroChunk(number) {
    for (const { count, value } of this.runs(number * chunkBlocks, chunkBlocks)) this.#count(value, -count);
    this.#chunks.set(number, zeroChunk);
    this.zeroBlocks += chunkBlocks;
  }

  #count(value, by) {
    if (value > 0) this.dataBlocks += by;
    else if (value === isZero) this.zeroBlocks += by;
  }
}
