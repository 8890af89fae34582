// How long to wait before trying again: at once after something that worked, then twice as long each time, up to a
// limit. Jitter keeps a gateway that restarts from being met by everybody in the same moment.

const first = 250; // ms
const last = 10_000;

export class Backoff {
  #random;
  failures = 0;

  constructor(random = Math.random) {
    this.#random = random;
  }

  // Milliseconds. At least half of the full time: a crowd is spread, and nobody hammers.
  next() {
    const full = Math.min(last, first * 2 ** this.failures);
    this.failures++;
    return Math.round(full * (0.5 + this.#random() / 2));
  }

  reset() {
    this.failures = 0;
  }
}

const offersMax = 5; // within offersTime
const offersTime = 30_000; // ms

// For a connection that the gateway has sent away because nobody needed it: it may need one the next moment, so it is
// offered again soon; if that goes on and on, ever more rarely.
export class Offers {
  #random;
  #backoff;
  #recent = [];

  constructor(random = Math.random) {
    this.#random = random;
    this.#backoff = new Backoff(random);
  }

  next(now) {
    this.#recent = this.#recent.filter((time) => now - time < offersTime);
    this.#recent.push(now);
    if (this.#recent.length > offersMax) return Math.max(1000, this.#backoff.next());
    this.#backoff.reset();
    return Math.round(100 + 200 * this.#random());
  }
}
