// The server's side of the fixed newstyle handshake, pure: options in, answers out. One export, which answers to
// every name: the page has one image per session, and clients of the original page never agreed on a name.

import {
  baseAllocation,
  exportFlag,
  handshakeFlag,
  infoType,
  magic,
  option,
  optionHeaderBytes,
  optionReply,
  pack,
  viewOf,
} from './nbd-wire.js';

const optionBytesMax = 64 * 1024; // longer ones are answered ERR_TOO_BIG, and skipped
const skippedBytesMax = 16 * 1024 * 1024; // even longer: the stream is out of step
const optionsMax = 256; // a client that goes on for ever is sent away
const knownClientFlags = handshakeFlag.fixedNewstyle | handshakeFlag.noZeroes;
const stringBytesMax = 4096;
const contextId = 1;

// What the client and we have agreed on, when the handshake is over.
export class Agreement {
  structuredReplies = false;
  allocation = false; // base:allocation was asked for: BLOCK_STATUS may come
}

export class NbdHandshake {
  #about;
  #input;
  #write;
  #state = 'flags';
  #noZeroes = false;
  #skip = 0;
  #options = 0;
  agreement = new Agreement();

  // about: {size, flags, name, description, blockSize: {minimum, preferred, maximum}}. input: a ByteQueue.
  // write(bytes).
  constructor(about, input, write) {
    this.#about = about;
    this.#input = input;
    this.#write = write;
  }

  start() {
    const flags = handshakeFlag.fixedNewstyle | handshakeFlag.noZeroes;
    this.#write(pack(...magic.nbd, ...magic.option, { u16: flags }));
  }

  // Uses what has arrived. Returns 'more', 'transmission', 'ended' (the client took its leave) or an Error (out of
  // step).
  proceed() {
    for (;;) {
      if (this.#skip > 0) {
        this.#skip -= this.#input.skip(this.#skip);
        if (this.#skip > 0) return 'more';
      }
      const outcome = this.#state === 'flags' ? this.#readFlags() : this.#readOption();
      if (outcome !== 'next') return outcome;
    }
  }

  #readFlags() {
    const bytes = this.#input.take(4);
    if (!bytes) return 'more';
    const flags = viewOf(bytes).getUint32(0);
    // The protocol tells a server to go when it sees flags that it does not know.
    if (flags & ~knownClientFlags) return new Error(`unknown client flags 0x${flags.toString(16)}`);
    this.#noZeroes = (flags & handshakeFlag.noZeroes) !== 0;
    this.#state = 'options';
    return 'next';
  }

  #readOption() {
    const head = this.#input.peek(optionHeaderBytes);
    if (!head) return 'more';
    const view = viewOf(head);
    if (view.getUint32(0) !== magic.option[0] || view.getUint32(4) !== magic.option[1])
      return new Error('wrong option magic');
    const id = view.getUint32(8);
    const length = view.getUint32(12);
    if (length > optionBytesMax) return this.#refuseLong(id, length);
    if (this.#input.length < optionHeaderBytes + length) return 'more';
    this.#input.skip(optionHeaderBytes);
    const data = this.#input.take(length);
    if (++this.#options > optionsMax) return new Error('too many options');
    return this.#answer(id, data);
  }

  #refuseLong(id, length) {
    // EXPORT_NAME knows no refusal: the protocol says to close.
    if (length > skippedBytesMax || id === option.exportName) return new Error(`an option of ${length} bytes`);
    this.#input.skip(optionHeaderBytes);
    this.#skip = length;
    this.#reply(id, optionReply.errTooBig, pack('the option is too long'));
    return 'next';
  }

  #answer(id, data) {
    switch (id) {
      case option.exportName:
        return this.#exportName(data);
      case option.abort:
        this.#reply(id, optionReply.ack);
        return 'ended';
      case option.list:
        return this.#list(data);
      case option.info:
      case option.go:
        return this.#infoOrGo(id, data);
      case option.structuredReply:
        if (data.length > 0) return this.#invalid(id, 'STRUCTURED_REPLY has no data');
        this.agreement.structuredReplies = true;
        this.#reply(id, optionReply.ack);
        return 'next';
      case option.listMetaContext:
      case option.setMetaContext:
        return this.#metaContext(id, data);
      default:
        this.#reply(id, optionReply.errUnsupported);
        return 'next';
    }
  }

  #exportName(data) {
    if (data.length > stringBytesMax) return new Error('an export name that is too long');
    const padding = new Uint8Array(this.#noZeroes ? 0 : 124);
    this.#write(pack({ u64: this.#about.size }, { u16: this.#flags() }, padding));
    return 'transmission';
  }

  #list(data) {
    if (data.length > 0) return this.#invalid(option.list, 'LIST has no data');
    const name = new TextEncoder().encode(this.#about.name);
    this.#reply(option.list, optionReply.server, pack(name.length, name, this.#about.description));
    this.#reply(option.list, optionReply.ack);
    return 'next';
  }

  #infoOrGo(id, data) {
    const wanted = readInfoRequest(data);
    if (!wanted) return this.#invalid(id, 'lengths that do not add up');
    const { size, name, description, blockSize } = this.#about;
    this.#reply(id, optionReply.info, pack({ u16: infoType.export }, { u64: size }, { u16: this.#flags() }));
    if (wanted.has(infoType.name)) this.#reply(id, optionReply.info, pack({ u16: infoType.name }, name));
    if (wanted.has(infoType.description)) {
      this.#reply(id, optionReply.info, pack({ u16: infoType.description }, description));
    }
    if (wanted.has(infoType.blockSize)) {
      const { minimum, preferred, maximum } = blockSize;
      this.#reply(id, optionReply.info, pack({ u16: infoType.blockSize }, minimum, preferred, maximum));
    }
    this.#reply(id, optionReply.ack);
    return id === option.go ? 'transmission' : 'next';
  }

  #metaContext(id, data) {
    if (!this.agreement.structuredReplies) return this.#invalid(id, 'structured replies first');
    const queries = readContextQueries(data);
    if (!queries) return this.#invalid(id, 'lengths that do not add up');
    const asked =
      queries.some((query) => query === baseAllocation || query === 'base:') ||
      (id === option.listMetaContext && queries.length === 0);
    // A SET forgets what an earlier one has chosen; "base:" alone lists, and chooses nothing.
    const chosen = id === option.setMetaContext ? queries.includes(baseAllocation) : asked;
    if (id === option.setMetaContext) this.agreement.allocation = chosen;
    if (chosen) this.#reply(id, optionReply.metaContext, pack(contextId, baseAllocation));
    this.#reply(id, optionReply.ack);
    return 'next';
  }

  #flags() {
    // DF may only be offered to whoever gets structured replies.
    return this.#about.flags | (this.agreement.structuredReplies ? exportFlag.sendDf : 0);
  }

  #invalid(id, why) {
    this.#reply(id, optionReply.errInvalid, pack(why));
    return 'next';
  }

  #reply(id, type, data = new Uint8Array(0)) {
    this.#write(pack(...magic.optionReply, id, type, data.length, data));
  }
}

// The information types that an INFO or GO asks for, or null.
function readInfoRequest(data) {
  if (data.length < 6) return null;
  const view = viewOf(data);
  const nameBytes = view.getUint32(0);
  if (nameBytes > stringBytesMax || data.length < 6 + nameBytes) return null;
  const count = view.getUint16(4 + nameBytes);
  if (data.length !== 6 + nameBytes + 2 * count) return null;
  const wanted = new Set();
  for (let i = 0; i < count; i++) wanted.add(view.getUint16(6 + nameBytes + 2 * i));
  return wanted;
}

// The queries of LIST_ or SET_META_CONTEXT, or null.
function readContextQueries(data) {
  if (data.length < 8) return null;
  const view = viewOf(data);
  const nameBytes = view.getUint32(0);
  if (nameBytes > stringBytesMax || data.length < 8 + nameBytes) return null;
  const queries = [];
  let at = 8 + nameBytes;
  for (let left = view.getUint32(4 + nameBytes); left > 0; left--) {
    if (data.length < at + 4) return null;
    const length = view.getUint32(at);
    if (length > stringBytesMax || data.length < at + 4 + length) return null;
    queries.push(new TextDecoder().decode(data.subarray(at + 4, at + 4 + length)));
    at += 4 + length;
  }
  return at === data.length ? queries : null;
}

export { contextId };
