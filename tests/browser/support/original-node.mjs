// The stand-in for nbd.js under node: node original-node.mjs ENDPOINT IMAGE. Prints why it ended; SIGTERM is "stop".
// What it reads in one turn comes back with the small ones first, whatever was asked first: a browser does so by
// chance.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { OriginalServer } from './original-server.mjs';
import { WebSocket } from './websocket.mjs';

export class NodeFile {
  constructor(path) {
    this.descriptor = openSync(path, 'r');
    this.size = fstatSync(this.descriptor).size;
  }

  slice(begin, end) {
    return { descriptor: this.descriptor, begin, length: end - begin };
  }

  close() {
    closeSync(this.descriptor);
  }
}

let waiting = [];

function finishAll() {
  const readers = waiting.sort((left, right) => left.slice.length - right.slice.length);
  waiting = [];
  for (const reader of readers) reader.finish();
}

class NodeFileReader {
  readAsArrayBuffer(slice) {
    this.slice = slice;
    if (waiting.push(this) === 1) setTimeout(finishAll, 1);
  }

  finish() {
    const { descriptor, begin, length } = this.slice;
    this.result = new ArrayBuffer(length);
    const done = readSync(descriptor, new Uint8Array(this.result), 0, length, begin);
    if (done === length) this.onload();
    else this.onerror();
  }
}

export const nodeEnvironment = { WebSocket, FileReader: NodeFileReader };

function main(endpoint, image) {
  const server = new OriginalServer(endpoint, new NodeFile(image), nodeEnvironment);
  server.onended = ({ code, wasClean }) => {
    console.log(`ended: code ${code}, ${wasClean ? 'clean' : 'not clean'}, ${server.counts.bytes} bytes`);
    process.exit(0);
  };
  process.on('SIGTERM', () => server.stop());
  server.start();
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) main(...process.argv.slice(2));
