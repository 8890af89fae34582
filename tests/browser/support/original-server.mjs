// Stands in for jsnbd's nbd.js on the wire: the page that is out there in BMCs, by what was recorded of its sending and
// answering. Ours to test against: the gateway and the proxy must carry it. Runs in a browser's main thread, and under
// node with a File and a FileReader of its own (original-node.mjs).
//
// What makes it a hard peer, all of it kept here on purpose:
//   - of the options it knows EXPORT_NAME alone; everything else, ABORT too, is ERR_UNSUP
//   - the export is read-only and has no other flag; nothing is said about block sizes
//   - each reply is one websocket message of any length, sent when its read is done: out of order
//   - ENOSPC past the end, EPERM for WRITE and TRIM, EINVAL for everything else
//   - it leaves with an empty close frame, and never pings or comes back

const optionMagic = 0x49484156454f5054n; // IHAVEOPT
const optionReplyMagic = 0x0003e889045565a9n;
const requestMagic = 0x25609513;
const replyMagic = 0x67446698;
const flagsOfHandshake = 3; // FIXED_NEWSTYLE, NO_ZEROES
const flagsOfExport = 3; // HAS_FLAGS, READ_ONLY
const errors = { EPERM: 1, EINVAL: 22, ENOSPC: 28 };
const commands = { READ: 0, WRITE: 1, DISC: 2, TRIM: 4 };

const view = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export class OriginalServer {
  // environment: WebSocket and FileReader, where they are not the browser's.
  constructor(endpoint, file, environment = globalThis) {
    Object.assign(this, { endpoint, file, environment });
    this.counts = { reads: 0, bytes: 0, messages: 0 };
    this.onended = () => {};
  }

  start() {
    this.socket = new this.environment.WebSocket(this.endpoint);
    this.socket.binaryType = 'arraybuffer';
    this.unread = new Uint8Array(0);
    this.step = this.readClientFlags;
    this.socket.onopen = () => this.greet();
    this.socket.onmessage = (event) => this.receive(new Uint8Array(event.data));
    this.socket.onclose = (event) => this.onended(event);
    this.socket.onerror = () => {};
  }

  stop() {
    this.socket.close();
  }

  greet() {
    const greeting = new Uint8Array(18);
    view(greeting).setBigUint64(0, 0x4e42444d41474943n); // NBDMAGIC
    view(greeting).setBigUint64(8, optionMagic);
    view(greeting).setUint16(16, flagsOfHandshake);
    this.send(greeting);
  }

  send(bytes) {
    this.counts.messages++;
    this.socket.send(bytes);
  }

  // A step takes what it understands off the front of the bytes, and returns how many those were; 0 waits for more.
  receive(bytes) {
    const joined = new Uint8Array(this.unread.length + bytes.length);
    joined.set(this.unread);
    joined.set(bytes, this.unread.length);
    this.unread = joined;
    for (;;) {
      const taken = this.step(this.unread);
      if (taken === 0) return;
      this.unread = this.unread.subarray(taken);
    }
  }

  readClientFlags(bytes) {
    if (bytes.length < 4) return 0;
    this.wantsNoZeroes = (view(bytes).getUint32(0) & 2) !== 0;
    this.step = this.readOption;
    return 4;
  }

  readOption(bytes) {
    if (bytes.length < 16) return 0;
    const option = view(bytes).getUint32(8);
    const length = view(bytes).getUint32(12);
    if (view(bytes).getBigUint64(0) !== optionMagic) return this.giveUp();
    if (bytes.length < 16 + length) return 0;
    if (option === 1) this.answerExportName();
    else this.refuseOption(option);
    return 16 + length;
  }

  answerExportName() {
    const answer = new Uint8Array(this.wantsNoZeroes ? 10 : 134);
    view(answer).setBigUint64(0, BigInt(this.file.size));
    view(answer).setUint16(8, flagsOfExport);
    this.send(answer);
    this.step = this.readRequest;
  }

  refuseOption(option) {
    const answer = new Uint8Array(20);
    view(answer).setBigUint64(0, optionReplyMagic);
    view(answer).setUint32(8, option);
    view(answer).setUint32(12, 0x80000001); // ERR_UNSUP
    this.send(answer);
  }

  readRequest(bytes) {
    if (bytes.length < 28) return 0;
    const fields = view(bytes);
    if (fields.getUint32(0) !== requestMagic) return this.giveUp();
    const request = {
      command: fields.getUint16(6),
      cookie: fields.getBigUint64(8),
      offset: Number(fields.getBigUint64(16)),
      length: fields.getUint32(24),
    };
    const payload = request.command === commands.WRITE ? request.length : 0;
    if (bytes.length < 28 + payload) return 0;
    this.answer(request);
    return 28 + payload;
  }

  answer({ command, cookie, offset, length }) {
    if (command === commands.READ) this.read(cookie, offset, length);
    else if (command === commands.DISC) this.socket.close();
    else if (command === commands.WRITE || command === commands.TRIM) this.reply(cookie, errors.EPERM);
    else this.reply(cookie, errors.EINVAL);
  }

  read(cookie, offset, length) {
    if (offset + length > this.file.size) return this.reply(cookie, errors.ENOSPC);
    const reader = new this.environment.FileReader();
    reader.onload = () => this.reply(cookie, 0, new Uint8Array(reader.result));
    reader.onerror = () => this.reply(cookie, errors.EINVAL);
    reader.readAsArrayBuffer(this.file.slice(offset, offset + length));
  }

  reply(cookie, error, data = new Uint8Array(0)) {
    const message = new Uint8Array(16 + data.length);
    view(message).setUint32(0, replyMagic);
    view(message).setUint32(4, error);
    view(message).setBigUint64(8, cookie);
    message.set(data, 16);
    this.counts.reads++;
    this.counts.bytes += data.length;
    this.send(message);
  }

  giveUp() {
    this.socket.close();
    this.step = () => 0;
    return 0;
  }
}
