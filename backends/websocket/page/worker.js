// One worker per image: everything that serves runs in here, so that neither drawing nor a busy page holds up a
// reply, and so that files may be read and written synchronously, which is what is quick for small requests.
//
// From the page: {type: 'keep'|'attach'|'resume'|'eject'|'changes', …}. To the page: 'state', 'grant' (to be kept for
// a reload), 'figures' (twice a second), 'problem', 'changes'.

import { Gateway } from './gateway.js';
import { Image } from './image.js';
import { Metrics } from './metrics.js';
import { NbdConnection } from './nbd-server.js';
import { hasOverlay, openOverlayFiles, whyNoOverlay } from './opfs.js';
import { Overlay, overlaySizeMax } from './overlay.js';
import { DamagedOverlay } from './overlay-journal.js';
import { Session } from './session.js';
import { errno } from './nbd-wire.js';
import { openSocket } from './worker-socket.js';

const figuresEach = 500; // ms
const cacheBytes = 64 * 1024 * 1024;

let file = null;
let identity = null;
let wantsWriting = false;
let store = null;
let metrics = null;
let session = null;
const told = new Set();
const connections = new Set(); // of this image

const reader = {
  now: (blob) => new FileReaderSync().readAsArrayBuffer(blob),
  later: (blob) => blob.arrayBuffer(),
};

const env = {
  now: () => performance.now(),
  setTimeout: (act, delay) => setTimeout(act, delay),
  clearTimeout: (timer) => clearTimeout(timer),
  random: Math.random,
  openSocket,
  serve,
  prepare: (grant) => openStore(wantsWriting && !grant.read_only),
};

function serve(socket, { ready, end }) {
  let drains = false;
  const connection = new NbdConnection(
    store,
    { name: '', description: file.name },
    {
      send: socket.send,
      mayReply: () => {
        if (socket.hasRoom()) return true;
        if (!drains) {
          drains = true;
          socket.whenRoom(() => {
            drains = false;
            connection.resume();
          });
        }
        return false;
      },
      // A client that takes its leave (DISC) waits until we close, so nothing of that connection is left. But it may
      // have given one up that the network cut, of which the browser knows nothing yet: what had arrived by then was
      // delivered while this handshake took its round trips, so what may be undone is what is held back.
      ready: () => {
        for (const other of connections) if (other !== connection) other.settle();
        ready();
      },
      end,
      served: (...request) => metrics.served(...request),
      failed: (error) => tellProblem(error),
    },
  );
  connections.add(connection);
  connection.start();
  return {
    receive: (bytes) => connection.receive(bytes),
    // What it has not done by now is never done: its client asks again elsewhere.
    close: () => {
      connection.ended = true;
      connections.delete(connection);
    },
  };
}

// Each kind of problem once: a device that asks a thousand times needs one answer here.
function tellProblem(error) {
  const kind =
    error.errno === errno.noSpace ? 'no-room' : /cannot be read|shorter/.test(error.message) ? 'changed' : 'storage';
  if (told.has(kind)) return;
  told.add(kind);
  postMessage({ type: 'problem', kind, words: error.message });
}

async function openStore(writable) {
  closeStore();
  const image = new Image(file, reader, { cacheBytes });
  metrics = new Metrics(file.size);
  // Changes that were kept are part of the image also when nothing may be added to them.
  if (!writable && (whyNoOverlay() !== null || !(await hasOverlay(identity.id)))) {
    store = image;
    return;
  }
  if (file.size > overlaySizeMax)
    throw Object.assign(new Error('Images above 8 TiB are read-only here.'), { kind: 'storage' });
  store = await openOverlay(image);
  store.readOnly = !writable;
}

async function openOverlay(image) {
  const files = await openOverlayFiles(identity.id);
  try {
    return new Overlay(image, files, { size: file.size, tag: parseInt(identity.id.slice(0, 8), 16) });
  } catch (error) {
    for (const handle of [files.data, ...files.maps]) handle.close();
    const kind = error instanceof DamagedOverlay ? 'damaged' : 'storage';
    throw Object.assign(new Error(error.message), { kind });
  }
}

function closeStore() {
  if (store instanceof Overlay) {
    try {
      store.close();
    } catch (error) {
      tellProblem(error);
    }
  }
  store = null;
}

// What became of the image: [offset, length, place in the data file or -1]…, and nothing is open any more.
async function tellChanges() {
  let runs = new Float64Array(0);
  let storedBytes = 0;
  let problem = null;
  try {
    if (!(store instanceof Overlay)) await openStore(true);
    store.flush();
    runs = Float64Array.from([...store.changes()].flatMap(({ offset, length, at }) => [offset, length, at ?? -1]));
    storedBytes = store.storedBytes;
  } catch (error) {
    problem = { kind: error.kind ?? 'storage', words: error.message };
  }
  closeStore();
  postMessage({ type: 'changes', runs, storedBytes, problem }, [runs.buffer]);
}

function tellFigures() {
  if (!metrics || !session || session.state === 'ended') return;
  const changedBytes = store instanceof Overlay ? store.changedBytes : 0;
  const isWritable = store !== null && !store.readOnly;
  const figures = {
    ...metrics.snapshot(),
    changedBytes,
    isWritable,
    connections: session.openSockets,
    at: performance.now(),
  };
  postMessage({ type: 'figures', figures });
}

function newSession(base) {
  told.clear();
  const gateway = new Gateway(base, (...request) => fetch(...request));
  session = new Session(env, gateway, identity.id, {
    tell: (state) => {
      // Before the page hears that it is over: its changes must be readable then.
      if (state.state === 'ended') {
        tellFigures();
        closeStore();
      }
      postMessage({ type: 'state', ...state, writable: store ? !store.readOnly : wantsWriting });
    },
    tellGrant: (grant) => postMessage({ type: 'grant', grant }),
  });
  return session;
}

const actions = {
  keep: (message) => ({ file, identity } = message),
  attach: ({ base, configuration, token, writable }) => {
    wantsWriting = writable;
    newSession(base).attach(configuration, token);
  },
  resume: ({ base, grant, writable }) => {
    wantsWriting = writable;
    newSession(base).resume(grant);
  },
  eject: () => session?.eject(),
  changes: tellChanges,
};

onmessage = ({ data }) => actions[data.type](data);
addEventListener('online', () => session?.hurry());
setInterval(tellFigures, figuresEach);
