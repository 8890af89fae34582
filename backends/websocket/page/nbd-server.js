// One NBD connection with the page as the server, pure: bytes in, replies out. It knows neither websockets nor files,
// so it runs under node as it runs in the worker. Several connections share one store: a flush on one covers the
// writes of all (CAN_MULTI_CONN), because every store here finishes a write before it returns.
//
// The store:
//   size, readOnly
//   tryRead(offset, target) -> bool    fills target now, or says that it would have to wait
//   readLater(offset, target) -> Promise
//   write(offset, bytes), trim(offset, length), flush()
//   zero(offset, length, {allocate})   allocate: later writes there may not fail for want of room
//   extents(offset, length) -> [{length, flags}], prefetch(offset, length)
// What fails throws a StoreError with the errno that the client gets.
//
// Requests are handled in the order of their arrival, all that has come in one go. A read that has to wait is
// overtaken; cookies tell the client which reply is which.

import { ByteQueue } from './byte-queue.js';
import { contextId, NbdHandshake } from './nbd-handshake.js';
import { Outbox } from './outbox.js';
import {
  chunk,
  command,
  commandFlag,
  errno,
  exportFlag,
  getU64,
  magic,
  pack,
  requestBytes,
  setU64,
  StoreError,
  viewOf,
} from './nbd-wire.js';

const payloadBytesMax = 32 * 1024 * 1024; // the protocol's own default, offered in GO
const drainedBytesMax = 2 * payloadBytesMax; // a refused WRITE's payload is skipped; a longer one is no WRITE
const waitingBytesMax = 16 * 1024 * 1024; // of reads that wait for the disk, per connection
const overtakenMax = 4096; // a client has fewer requests under way
const inputBytesMax = 2 * drainedBytesMax; // that came while we could not answer

const knownFlags = {
  [command.read]: commandFlag.fua | commandFlag.df,
  [command.write]: commandFlag.fua,
  [command.disconnect]: 0xffff,
  [command.flush]: commandFlag.fua,
  [command.trim]: commandFlag.fua,
  [command.cache]: commandFlag.fua,
  [command.writeZeroes]: commandFlag.fua | commandFlag.noHole | commandFlag.fastZero,
  [command.blockStatus]: commandFlag.fua | commandFlag.reqOne,
};

export function exportFlags(store) {
  const always = exportFlag.hasFlags | exportFlag.multiConn | exportFlag.sendCache | exportFlag.sendFlush;
  if (store.readOnly) return always | exportFlag.readOnly;
  return always | exportFlag.sendFua | exportFlag.sendTrim | exportFlag.sendWriteZeroes | exportFlag.sendFastZero;
}

export class NbdConnection {
  #store;
  #hooks;
  #input = new ByteQueue();
  #outbox;
  #handshake;
  #agreement = null; // in the transmission phase
  #skip = 0; // of a refused payload
  #overtaken = []; // reads that settle() left
  #waitingBytes = 0;
  #running = false;
  ended = false;

  // hooks: send(bytes) copies; mayReply() is false while too much waits to be sent (call resume() afterwards);
  // end(error) is called once: null when the client took its leave; served(command, offset, length, errno, since),
  // failed(error) for what was answered with EIO, and ready() when the transmission begins: all three may be missing.
  constructor(store, { name = '', description = '' }, hooks) {
    this.#store = store;
    this.#hooks = { mayReply: () => true, served: () => {}, failed: () => {}, ready: () => {}, ...hooks };
    this.#outbox = new Outbox(hooks.send);
    const about = {
      size: store.size,
      flags: exportFlags(store),
      name,
      description,
      blockSize: { minimum: 1, preferred: 4096, maximum: payloadBytesMax },
    };
    this.#handshake = new NbdHandshake(about, this.#input, (bytes) => this.#outbox.add(bytes));
  }

  start() {
    this.#handshake.start();
    this.#outbox.flush();
  }

  receive(bytes) {
    if (this.ended) return;
    this.#input.push(bytes);
    if (this.#input.length > inputBytesMax) this.#end(new Error('more requests than anyone waits for'));
    this.resume();
  }

  resume() {
    // A store that waits inside a read could let the next message in: requests are handled by one loop only.
    if (this.#running || this.ended) return;
    this.#running = true;
    try {
      while (!this.ended && this.#step());
      this.#outbox.flush();
    } finally {
      this.#running = false;
    }
  }

  // True: there may be more to do.
  #step() {
    if (!this.#agreement) return this.#shakeHands();
    if (this.#waitingBytes >= waitingBytesMax || !this.#hooks.mayReply()) return false;
    if (this.#overtaken.length > 0) {
      this.#handle(this.#overtaken.shift(), null);
      return true;
    }
    return this.#takeRequest((request, payload) => this.#handle(request, payload));
  }

  // Everything that this connection has received and held back so far is done now, in its order; reads are left for
  // later, they change nothing. For the moment in which another connection begins: a client that has given this one up
  // says its writes again there, and then writes more. One of them that still waited in here would be done after those.
  settle() {
    if (this.#running || this.ended || !this.#agreement) return;
    this.#running = true;
    try {
      while (!this.ended && this.#takeRequest((request, payload) => this.#changeOrLeave(request, payload)));
      this.#outbox.flush();
    } finally {
      this.#running = false;
    }
  }

  #changeOrLeave(request, payload) {
    if (request.command !== command.read && request.command !== command.blockStatus) this.#handle(request, payload);
    else if (this.#overtaken.push(request) > overtakenMax) this.#end(new Error('more reads than anyone waits for'));
  }

  // Hands over the next request when all of it is there. False: not yet, or this was the end.
  #takeRequest(use) {
    if (this.#skip > 0) {
      this.#skip -= this.#input.skip(this.#skip);
      if (this.#skip > 0) return false;
    }
    const head = this.#input.peek(requestBytes);
    if (!head) return false;
    const request = parseRequest(head);
    if (!request) return this.#end(new Error('wrong request magic'));
    const payload = request.command === command.write ? request.length : 0;
    if (payload > drainedBytesMax) return this.#end(new Error(`a write of ${payload} bytes`));
    if (payload > payloadBytesMax) return this.#refuseLongWrite(request);
    if (this.#input.length < requestBytes + payload) return false;
    this.#input.skip(requestBytes);
    use(request, payload > 0 ? this.#input.take(payload) : null);
    return true;
  }

  #shakeHands() {
    const outcome = this.#handshake.proceed();
    if (outcome === 'more') return false;
    if (outcome !== 'transmission') return this.#end(outcome === 'ended' ? null : outcome);
    this.#agreement = this.#handshake.agreement;
    this.#hooks.ready();
    return true;
  }

  #refuseLongWrite(request) {
    this.#input.skip(requestBytes);
    this.#skip = request.length;
    this.#answer(request, errno.overflow);
    return true;
  }

  #handle(request, payload) {
    if (request.command === command.disconnect) {
      this.#end(null);
      return;
    }
    const refused = this.#check(request);
    if (refused) {
      this.#answer(request, refused);
      return;
    }
    try {
      this.#carryOut(request, payload);
    } catch (error) {
      this.#answer(request, this.#codeOf(error));
    }
  }

  // Every doubt about a request ends here. 0, or the errno.
  #check({ command: what, flags, offset, length }) {
    const known = knownFlags[what];
    if (known === undefined || flags & ~known) return errno.invalid;
    if (flags & commandFlag.df && !this.#agreement.structuredReplies) return errno.invalid;
    const changes = what === command.write || what === command.writeZeroes || what === command.trim;
    if (changes && this.#store.readOnly) return errno.perm;
    if (what === command.flush) return offset === 0 && length === 0 ? 0 : errno.invalid;
    if (what === command.blockStatus && (!this.#agreement.allocation || length === 0)) return errno.invalid;
    if (what === command.read && length > payloadBytesMax) return errno.overflow;
    if (offset + length > this.#store.size) return changes && what !== command.trim ? errno.noSpace : errno.invalid;
    return 0;
  }

  #carryOut(request, payload) {
    const { command: what, flags, offset, length } = request;
    const store = this.#store;
    if (what === command.read) return this.#read(request);
    if (what === command.blockStatus) return this.#blockStatus(request);
    if (what === command.write && length > 0) store.write(offset, payload);
    else if (what === command.trim) store.trim(offset, length);
    else if (what === command.cache) store.prefetch(offset, length);
    else if (what === command.writeZeroes) this.#writeZeroes(request);
    if (what === command.flush || (flags & commandFlag.fua && !store.readOnly)) store.flush();
    return this.#answer(request, 0);
  }

  #writeZeroes({ flags, offset, length }) {
    const allocate = (flags & commandFlag.noHole) !== 0;
    if (allocate && flags & commandFlag.fastZero)
      throw new StoreError(errno.notSupported, 'zeroes in place are not fast');
    this.#store.zero(offset, length, { allocate });
  }

  #read(request) {
    const headBytes = this.#readHeadBytes(request);
    const place = this.#outbox.place(headBytes + request.length);
    let now;
    try {
      now = this.#store.tryRead(request.offset, place.subarray(headBytes));
    } catch (error) {
      this.#outbox.undo();
      throw error;
    }
    if (now) {
      this.#writeReadHead(place, request);
      this.#outbox.keep(place);
      this.#note(request, 0);
    } else {
      this.#outbox.undo();
      this.#readLater(request, headBytes);
    }
  }

  #readLater(request, headBytes) {
    const reply = new Uint8Array(headBytes + request.length);
    this.#waitingBytes += reply.length;
    const finish = (answer) => {
      this.#waitingBytes -= reply.length;
      if (this.ended) return;
      answer();
      if (!this.#running) this.#outbox.flush();
      this.resume();
    };
    this.#store.readLater(request.offset, reply.subarray(headBytes)).then(
      () =>
        finish(() => {
          this.#writeReadHead(reply, request);
          this.#outbox.add(reply);
          this.#note(request, 0);
        }),
      (error) => finish(() => this.#answer(request, this.#codeOf(error))),
    );
  }

  #readHeadBytes(request) {
    if (!this.#agreement.structuredReplies) return 16;
    return request.length > 0 ? 28 : 20;
  }

  #writeReadHead(place, request) {
    const view = viewOf(place);
    if (!this.#agreement.structuredReplies) {
      writeSimpleHead(view, request, 0);
      return;
    }
    // One chunk, whole: the data are there at once, and a client has less to do.
    const type = request.length > 0 ? chunk.offsetData : chunk.none;
    writeChunkHead(view, request, type, request.length > 0 ? 8 + request.length : 0);
    if (request.length > 0) setU64(view, 20, request.offset);
  }

  #blockStatus(request) {
    const one = (request.flags & commandFlag.reqOne) !== 0;
    const extents = this.#store.extents(request.offset, request.length).slice(0, one ? 1 : 4096);
    const data = pack(contextId, ...extents.flatMap(({ length, flags }) => [length, flags]));
    const reply = this.#outbox.place(20 + data.length);
    writeChunkHead(viewOf(reply), request, chunk.blockStatus, data.length);
    reply.set(data, 20);
    this.#outbox.keep(reply);
    this.#note(request, 0);
  }

  #answer(request, code) {
    const inChunks =
      this.#agreement.structuredReplies &&
      (request.command === command.read || request.command === command.blockStatus);
    if (inChunks) {
      const reply = new Uint8Array(26);
      writeChunkHead(viewOf(reply), request, chunk.error, 6);
      viewOf(reply).setUint32(20, code);
      this.#outbox.add(reply);
    } else {
      const place = this.#outbox.place(16);
      writeSimpleHead(viewOf(place), request, code);
      this.#outbox.keep(place);
    }
    this.#note(request, code);
  }

  #codeOf(error) {
    const code = error instanceof StoreError ? error.errno : errno.io;
    if (code === errno.io || code === errno.noSpace) this.#hooks.failed(error);
    return code;
  }

  #note(request, code) {
    this.#hooks.served(request.command, request.offset, request.length, code, request.since);
  }

  #end(error) {
    if (this.ended) return false;
    this.ended = true;
    this.#outbox.flush();
    this.#hooks.end(error);
    return false;
  }
}

function parseRequest(head) {
  const view = viewOf(head);
  if (view.getUint32(0) !== magic.request) return null;
  return {
    flags: view.getUint16(4),
    command: view.getUint16(6),
    cookieHigh: view.getUint32(8),
    cookieLow: view.getUint32(12),
    offset: getU64(view, 16),
    length: view.getUint32(24),
    since: performance.now(),
  };
}

function writeSimpleHead(view, { cookieHigh, cookieLow }, code) {
  view.setUint32(0, magic.simpleReply);
  view.setUint32(4, code);
  view.setUint32(8, cookieHigh);
  view.setUint32(12, cookieLow);
}

function writeChunkHead(view, { cookieHigh, cookieLow }, type, length) {
  view.setUint32(0, magic.structuredReply);
  view.setUint16(4, chunk.done);
  view.setUint16(6, type);
  view.setUint32(8, cookieHigh);
  view.setUint32(12, cookieLow);
  view.setUint32(16, length);
}
