// The page's NBD server behind a TCP socket, so that other people's NBD clients can talk to it:
//   node nbd-over-tcp.mjs FILE [OVERLAY-FOLDER]
// Prints the port. With a folder it is writable, by an overlay there; nothing is ever written to FILE.
import { createServer } from 'node:net';
import {
  closeSync,
  constants,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { load } from './pages.mjs';

const { NbdConnection } = await load('nbd-server.js');
const { Image } = await load('image.js');
const { Overlay } = await load('overlay.js');

// As much of a File as an Image uses.
function fileAt(path) {
  const fd = openSync(path);
  const { size } = fstatSync(fd);
  process.on('exit', () => closeSync(fd));
  return { size, slice: (from, to) => ({ fd, from, to: Math.min(to, size) }) };
}

const reader = {
  now: ({ fd, from, to }) => {
    const bytes = new Uint8Array(to - from);
    readSync(fd, bytes, 0, bytes.length, from);
    return bytes.buffer;
  },
  later: async (blob) => {
    await new Promise(setImmediate);
    return reader.now(blob);
  },
};

// What createSyncAccessHandle() gives in a browser.
function syncAccessHandle(path) {
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT);
  return {
    getSize: () => fstatSync(fd).size,
    read: (target, { at }) => readSync(fd, target, 0, target.length, at),
    write: (source, { at }) => writeSync(fd, source, 0, source.length, at),
    truncate: (size) => ftruncateSync(fd, size),
    flush: () => fdatasyncSync(fd),
    close: () => closeSync(fd),
  };
}

const image = new Image(fileAt(process.argv[2]), reader);
const folder = process.argv[3];
const handle = (name) => syncAccessHandle(join(folder, name));
const open = () =>
  new Overlay(
    image,
    { data: handle('data'), maps: [handle('map-0'), handle('map-1')] },
    { size: image.size, tag: 1 },
  );
const store = folder ? open() : image;

const server = createServer((socket) => {
  socket.setNoDelay(true);
  const connection = new NbdConnection(
    store,
    { name: '', description: 'under test' },
    {
      send: (bytes) => socket.write(Buffer.from(bytes)),
      mayReply: () => socket.writableLength < 8 << 20,
      end: () => socket.end(),
      failed: (error) => console.error(error.message),
    },
  );
  socket.on('drain', () => connection.resume());
  socket.on('data', (bytes) => connection.receive(bytes));
  socket.on('error', () => socket.destroy());
  connection.start();
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
