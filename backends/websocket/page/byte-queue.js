// Bytes that have arrived and not been used. Message borders mean nothing to NBD: a request may come in pieces, or
// many in one message. A piece is copied only where what is taken crosses a border, and once: no quadratic joining.

export class ByteQueue {
  #pieces = [];
  #first = 0; // index of the piece in front: shift() on a long array costs its length
  #used = 0; // bytes of that piece that are gone
  length = 0;

  push(bytes) {
    if (bytes.length === 0) return;
    this.#pieces.push(bytes);
    this.length += bytes.length;
  }

  // The next `count` bytes, or null while there are fewer. They stay valid, but may be a view of what was pushed.
  take(count) {
    const bytes = this.#look(count);
    if (bytes) this.#drop(count);
    return bytes;
  }

  // The same, but they stay in the queue.
  peek(count) {
    return this.#look(count);
  }

  // Drops up to `count` bytes, and says how many there were.
  skip(count) {
    const dropped = Math.min(count, this.length);
    this.#drop(dropped);
    return dropped;
  }

  #look(count) {
    if (this.length < count) return null;
    if (count === 0) return new Uint8Array(0);
    const front = this.#pieces[this.#first];
    if (front.length - this.#used >= count) return front.subarray(this.#used, this.#used + count);
    const joined = new Uint8Array(count);
    let filled = 0;
    for (let i = this.#first, from = this.#used; filled < count; i++, from = 0) {
      const part = this.#pieces[i].subarray(from, from + count - filled);
      joined.set(part, filled);
      filled += part.length;
    }
    return joined;
  }

  #drop(count) {
    this.length -= count;
    this.#used += count;
    while (this.#first < this.#pieces.length && this.#used >= this.#pieces[this.#first].length) {
      this.#used -= this.#pieces[this.#first].length;
      this.#pieces[this.#first++] = null;
    }
    if (this.#first === this.#pieces.length) {
      this.#pieces = [];
      this.#first = 0;
    } else if (this.#first > 64) {
      this.#pieces.splice(0, this.#first);
      this.#first = 0;
    }
  }
}
