// Who reads one thing after the other, and how far ahead of them it pays to read. Several sequential readers at once
// are normal (one per connection, each copying a part); within one, requests arrive a little out of order.

const streamsMax = 16;
const slackBytes = 128 * 1024; // how far out of order a request may be; for a larger one its own length
const provenAfter = 3; // random readers of a small image hit a neighbourhood by chance, but not in a row
const firstWindow = 512 * 1024;
const lastWindow = 4 * 1024 * 1024;

export class ReadStreams {
  #streams = []; // {next, fetched, window, hits}, most recent first

  // A read came. Returns what to fetch ahead of it, {from, to}, or null: nothing, or it is fetched already.
  note(offset, length) {
    const end = offset + length;
    const slack = Math.max(slackBytes, length);
    const index = this.#streams.findIndex(({ next }) => offset <= next + slack && end >= next - slack);
    if (index < 0) {
      this.#streams.unshift({ next: end, fetched: end, window: firstWindow, hits: 0 });
      this.#streams.length = Math.min(this.#streams.length, streamsMax);
      return null;
    }
    const [stream] = this.#streams.splice(index, 1);
    this.#streams.unshift(stream);
    if (end <= stream.next) return null;
    stream.next = end;
    stream.hits++;
    // Half a window is left before the next is asked for: the disk works while the network does.
    if (stream.hits < provenAfter || stream.fetched - end > stream.window / 2) return null;
    const from = Math.max(stream.fetched, end);
    stream.window = Math.min(stream.window * 2, lastWindow);
    stream.fetched = end + stream.window;
    return { from, to: stream.fetched };
  }
}
