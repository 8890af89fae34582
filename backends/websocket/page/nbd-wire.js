// The NBD wire: the numbers of the protocol document (NetworkBlockDevice/nbd, doc/proto.md) that the page uses, under
// its names, and writers and readers for the few fixed structs. Everything is big-endian. 64-bit numbers become plain
// numbers (exact to 2^53, 8 PiB: no File is larger); a cookie stays two 32-bit halves because it may be any bits.

export const magic = {
  nbd: [0x4e42444d, 0x41474943], // "NBDMAGIC"
  option: [0x49484156, 0x454f5054], // "IHAVEOPT"
  optionReply: [0x0003e889, 0x045565a9],
  request: 0x25609513,
  simpleReply: 0x67446698,
  structuredReply: 0x668e33ef,
};

export const handshakeFlag = { fixedNewstyle: 1, noZeroes: 2 };

export const option = {
  exportName: 1,
  abort: 2,
  list: 3,
  starttls: 5,
  info: 6,
  go: 7,
  structuredReply: 8,
  listMetaContext: 9,
  setMetaContext: 10,
};

export const optionReply = {
  ack: 1,
  server: 2,
  info: 3,
  metaContext: 4,
  errUnsupported: 0x80000001,
  errInvalid: 0x80000003,
  errUnknown: 0x80000006,
  errTooBig: 0x80000009,
};

export const infoType = { export: 0, name: 1, description: 2, blockSize: 3 };

export const exportFlag = {
  hasFlags: 1,
  readOnly: 2,
  sendFlush: 4,
  sendFua: 8,
  sendTrim: 32,
  sendWriteZeroes: 64,
  sendDf: 128,
  multiConn: 256,
  sendCache: 1024,
  sendFastZero: 2048,
};

export const command = {
  read: 0,
  write: 1,
  disconnect: 2,
  flush: 3,
  trim: 4,
  cache: 5,
  writeZeroes: 6,
  blockStatus: 7,
};

export const commandFlag = { fua: 1, noHole: 2, df: 4, reqOne: 8, fastZero: 16 };

export const chunk = { done: 1, none: 0, offsetData: 1, blockStatus: 5, error: 0x8001 };

export const errno = {
  perm: 1,
  io: 5,
  noMemory: 12,
  invalid: 22,
  noSpace: 28,
  overflow: 75,
  notSupported: 95,
  shutdown: 108,
};

export const extentFlag = { hole: 1, zero: 2 };
export const baseAllocation = 'base:allocation';

export const requestBytes = 28;
export const optionHeaderBytes = 16;

// A store says with this which error the client is to get; anything else that is thrown becomes EIO.
export class StoreError extends Error {
  constructor(code, message) {
    super(message);
    this.name = 'StoreError';
    this.errno = code;
  }
}

export function viewOf(bytes) {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function setU64(view, at, value) {
  view.setUint32(at, Math.floor(value / 2 ** 32));
  view.setUint32(at + 4, value >>> 0);
}

export function getU64(view, at) {
  return view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4);
}

// Joins pieces: numbers are 32 bits, strings UTF-8, arrays of bytes themselves, {u16} and {u64} as they say.
export function pack(...pieces) {
  const encoded = pieces.map((piece) => {
    if (typeof piece === 'string') return new TextEncoder().encode(piece);
    if (piece instanceof Uint8Array) return piece;
    const bytes = new Uint8Array(typeof piece === 'number' ? 4 : 'u16' in piece ? 2 : 8);
    if (typeof piece === 'number') viewOf(bytes).setUint32(0, piece);
    else if ('u16' in piece) viewOf(bytes).setUint16(0, piece.u16);
    else setU64(viewOf(bytes), 0, piece.u64);
    return bytes;
  });
  const joined = new Uint8Array(encoded.reduce((sum, bytes) => sum + bytes.length, 0));
  let at = 0;
  for (const bytes of encoded) {
    joined.set(bytes, at);
    at += bytes.length;
  }
  return joined;
}
