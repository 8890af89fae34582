// Node's own WebSocket came with version 22, and its server never: Debian's node-ws has both. Its folder is one that
// only Debian's own node looks into, so it is said here.

import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
export const { WebSocket, WebSocketServer } = require('/usr/share/nodejs/ws');
