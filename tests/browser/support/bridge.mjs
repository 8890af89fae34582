// A dumb bridge to try a page without the gateway: a websocket on one side, an NBD client's Unix socket on the other,
// bytes between them, and the files of one folder over HTTP. node bridge.mjs FOLDER SOCKET prints the port.

import { createReadStream, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createSocketServer } from 'node:net';
import { extname, join, normalize } from 'node:path';
import { pathToFileURL } from 'node:url';
import { WebSocketServer } from './websocket.mjs';

const types = { '.html': 'text/html', '.mjs': 'text/javascript', '.js': 'text/javascript', '.css': 'text/css' };

export function serveFolder(folder) {
  return createServer((request, response) => {
    const path = normalize(new URL(request.url, 'http://local').pathname);
    const file = createReadStream(join(folder, path === '/' ? 'index.html' : path));
    file.on('error', () => response.writeHead(404).end());
    file.on('open', () => {
      response.writeHead(200, { 'content-type': types[extname(path)] ?? 'application/octet-stream' });
      file.pipe(response);
    });
  });
}

function joinBoth(websocket, client) {
  websocket.on('message', (data) => client.write(data) || hold(websocket, client));
  client.on('data', (data) => websocket.send(data));
  websocket.on('close', () => client.end());
  client.on('close', () => websocket.close());
  client.on('error', () => {});
}

function hold(websocket, client) {
  websocket.pause();
  client.once('drain', () => websocket.resume());
}

// One pair at a time: the next client gets the next websocket.
export function bridge(websockets, socketPath) {
  const peers = [];
  const clients = [];
  const match = () => {
    while (peers.length > 0 && clients.length > 0) joinHeld(peers.shift(), clients.shift());
  };
  websockets.on('connection', (websocket) => { websocket.pause(); peers.push(websocket); match(); });
  rmSync(socketPath, { force: true });
  const server = createSocketServer({ pauseOnConnect: true }, (client) => { clients.push(client); match(); });
  return server.listen(socketPath);
}

function joinHeld(websocket, client) {
  joinBoth(websocket, client);
  websocket.resume();
  client.resume();
}

function main(folder, socketPath) {
  const http = serveFolder(folder);
  bridge(new WebSocketServer({ server: http, perMessageDeflate: false, maxPayload: 64 << 20 }), socketPath);
  http.listen(0, '127.0.0.1', () => console.log(http.address().port));
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) main(...process.argv.slice(2));
