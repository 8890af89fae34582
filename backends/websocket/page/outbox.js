// Replies on their way out. What one turn of the event loop answers goes out as one message where it is small: the
// cost of a message, not of a byte, is what limits a browser. send() of a WebSocket copies, so the buffer is used
// again at once.

const roomBytes = 256 * 1024;

export class Outbox {
  #room = new Uint8Array(roomBytes);
  #filled = 0;
  #large = null;
  #send;

  // send(bytes): takes a copy before it returns.
  constructor(send) {
    this.#send = send;
  }

  // A place of exactly `count` bytes behind what is there. Only one place at a time; keep() or undo() ends it.
  place(count) {
    if (count > roomBytes) {
      this.#large = new Uint8Array(count);
      return this.#large;
    }
    if (this.#filled + count > roomBytes) this.flush();
    return this.#room.subarray(this.#filled, this.#filled + count);
  }

  keep(place) {
    if (place === this.#large) {
      this.#large = null;
      this.flush();
      this.#send(place);
    } else {
      this.#filled += place.length;
    }
  }

  undo() {
    this.#large = null;
  }

  // For what has been made already.
  add(bytes) {
    if (bytes.length > roomBytes) {
      this.flush();
      this.#send(bytes);
      return;
    }
    const place = this.place(bytes.length);
    place.set(bytes);
    this.keep(place);
  }

  flush() {
    if (this.#filled === 0) return;
    const bytes = this.#room.subarray(0, this.#filled);
    this.#filled = 0;
    this.#send(bytes);
  }
}
