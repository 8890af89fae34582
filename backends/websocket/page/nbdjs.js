// For pages that were written for the original nbd.js: NBDServer(endpoint, file), with or without `new`, start(),
// stop(), onlog. One websocket, read-only, no worker and no reconnect, as there; the protocol is the whole one of
// this page.
//
//   import { NBDServer } from './nbdjs.js';
//   const server = NBDServer('wss://gateway/vm/0/0/', file);
//   server.start();

import { NbdConnection } from './nbd-server.js';
import { errno, StoreError } from './nbd-wire.js';

// Outside a worker a file can only be read asynchronously.
function fileStore(file) {
  const refuse = () => {
    throw new StoreError(errno.perm, 'the image is read-only');
  };
  return {
    size: file.size,
    readOnly: true,
    tryRead: (_offset, target) => target.length === 0,
    readLater: async (offset, target) => {
      const bytes = new Uint8Array(await file.slice(offset, offset + target.length).arrayBuffer());
      if (bytes.length !== target.length) throw new StoreError(errno.io, 'the image has become shorter');
      target.set(bytes);
    },
    extents: (_offset, length) => [{ length, flags: 0 }],
    flush() {},
    prefetch() {},
    write: refuse,
    zero: refuse,
    trim: refuse,
  };
}

export function NBDServer(endpoint, file) {
  if (!new.target) return new NBDServer(endpoint, file);
  this.endpoint = endpoint;
  this.file = file;
  this.socket = null;
  this.onlog = () => {};
}

NBDServer.prototype.start = function start() {
  const socket = new WebSocket(this.endpoint);
  this.socket = socket;
  socket.binaryType = 'arraybuffer';
  const connection = new NbdConnection(
    fileStore(this.file),
    { name: '', description: this.file.name ?? '' },
    {
      send: (bytes) => socket.readyState === WebSocket.OPEN && socket.send(bytes),
      end: (error) => {
        this.onlog(error ? `out of step: ${error.message}` : 'the client took its leave');
        socket.close();
      },
      failed: (error) => this.onlog(`cannot read: ${error.message}`),
    },
  );
  socket.onopen = () => connection.start();
  socket.onmessage = ({ data }) => connection.receive(new Uint8Array(data));
  socket.onclose = ({ code, reason }) => {
    connection.ended = true;
    this.onlog(`closed: ${code} ${reason}`.trim());
  };
  this.onlog(`serving ${this.file.size} bytes to ${this.endpoint}`);
};

NBDServer.prototype.stop = function stop() {
  this.socket?.close();
  this.socket = null;
};
