// What a reload must not forget. In sessionStorage, which ends with the tab: the token and the sessions (their keys
// let websockets in). In IndexedDB, because only that can hold them: handles of files that were picked or dropped.

const tokenKey = 'nbdring.token';
const sessionsKey = 'nbdring.sessions';
const databaseName = 'nbdring';
const storeName = 'handles';

// The token of this tab: from the link's fragment, later its successor.
export class Keyring {
  get token() {
    return sessionStorage.getItem(tokenKey) ?? '';
  }

  set token(token) {
    if (token) sessionStorage.setItem(tokenKey, token);
    else sessionStorage.removeItem(tokenKey);
  }
}

// '#t=ID.SECRET' -> {token: 'ID:SECRET', configuration}; the fragment is never sent to anybody.
export function readFragment(fragment) {
  const fields = new URLSearchParams(fragment.replace(/^#/, ''));
  const token = fields.get('t') ?? '';
  return { token: token.replace('.', ':'), configuration: fields.get('c') ?? '' };
}

export function linkFor(base, token) {
  const link = new URL(base);
  link.search = '';
  link.hash = `t=${token.replace(':', '.')}`;
  return link.href;
}

// Sessions by the image's identity: {identity, grant, writable, configuration}.
export const sessions = {
  all() {
    try {
      return Object.values(JSON.parse(sessionStorage.getItem(sessionsKey) ?? '{}'));
    } catch {
      return [];
    }
  },
  keep(session) {
    const kept = Object.fromEntries(this.all().map((one) => [one.identity.id, one]));
    sessionStorage.setItem(sessionsKey, JSON.stringify({ ...kept, [session.identity.id]: session }));
  },
  forget(id) {
    const kept = this.all().filter(({ identity }) => identity.id !== id);
    sessionStorage.setItem(
      sessionsKey,
      JSON.stringify(Object.fromEntries(kept.map((one) => [one.identity.id, one]))),
    );
  },
};

function asPromise(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function withHandles(mode, act) {
  const opening = indexedDB.open(databaseName, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(storeName);
  const database = await asPromise(opening);
  try {
    return await asPromise(act(database.transaction(storeName, mode).objectStore(storeName)));
  } finally {
    database.close();
  }
}

// Where there is no IndexedDB (private windows of some browsers) the user picks the file again instead.
export const handles = {
  keep: (id, handle) => withHandles('readwrite', (store) => store.put(handle, id)).catch(() => null),
  find: (id) => withHandles('readonly', (store) => store.get(id)).catch(() => null),
  forget: (id) => withHandles('readwrite', (store) => store.delete(id)).catch(() => null),
};
