// Which slots of the overlay's data file are free. A slot that was given up may still be named by the map on the
// disk: it is used again only after settle(), when a flush has made the newer map durable. Otherwise a crash would
// show one block's bytes in another's place.

export class OverlaySlots {
  #end = 0; // slots from here on have never been used
  #free = []; // runs [slot, count]
  #resting = [];

  // used: an iterable of [slot, count], any order.
  static from(used) {
    const slots = new OverlaySlots();
    for (const [slot, count] of [...used].sort((a, b) => a[0] - b[0])) {
      if (slot > slots.#end) slots.#free.push([slots.#end, slot - slots.#end]);
      slots.#end = Math.max(slots.#end, slot + count);
    }
    return slots;
  }

  // Up to `count` slots that follow each other: [slot, how many].
  take(count) {
    const run = this.#free.pop();
    if (!run) {
      this.#end += count;
      return [this.#end - count, count];
    }
    const taken = Math.min(count, run[1]);
    if (run[1] > taken) this.#free.push([run[0] + taken, run[1] - taken]);
    return [run[0], taken];
  }

  // Nobody has been told of them: they may be used again at once.
  untake(slot, count) {
    this.#free.push([slot, count]);
  }

  giveUp(slot, count) {
    this.#resting.push([slot, count]);
  }

  settle() {
    // Not push(...): a discard of a fragmented disk has more runs than a call may have arguments.
    for (const run of this.#resting) this.#free.push(run);
    this.#resting = [];
  }
}
