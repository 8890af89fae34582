// A websocket server by Node's `ws` that passes bytes on to an NBD server on a Unix socket: bridge.mjs SOCKET
// Prints its port once it listens. It offers compression, which nobody may accept.

import { createRequire } from 'node:module';
import net from 'node:net';

const { WebSocketServer } = createRequire(import.meta.url)('/usr/share/nodejs/ws');

const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: true, maxPayload: 0 });
server.on('listening', () => console.log(server.address().port));
server.on('connection', (websocket) => {
  if (websocket.extensions !== '') throw new Error(`an extension was agreed on: ${websocket.extensions}`);
  const nbd = net.connect(process.argv[2]);
  websocket.on('message', (data, isBinary) => {
    if (!isBinary) throw new Error('a text message');
    nbd.write(data);
  });
  nbd.on('data', (data) => websocket.send(data));
  websocket.on('close', () => nbd.end());
  nbd.on('close', () => websocket.close());
  nbd.on('error', () => websocket.close());
});
