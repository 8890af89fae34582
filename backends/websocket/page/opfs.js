// Where kept changes are: in this origin's own files (OPFS), a folder per image. Nobody sees them outside the
// browser, and they are there again after a reload. The folder also says which image it belongs to, for a list of
// what is kept.

const folderName = 'nbdring';
const fileNames = ['data', 'map-0', 'map-1'];
const emptyMapBytes = 56; // a header and a mark (overlay-journal.js)
const lockedWait = 8000; // ms: a page that was left lets go of its files a moment later

export class StorageError extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

// Why changes cannot be kept here, or null.
export function whyNoOverlay() {
  if (!globalThis.isSecureContext) return 'insecure';
  return globalThis.navigator?.storage?.getDirectory ? null : 'unsupported';
}

async function folder(create) {
  const root = await navigator.storage.getDirectory();
  return root.getDirectoryHandle(folderName, { create });
}

// {data, maps}: sync access handles. Only in a worker. Throws StorageError when another tab has them.
export async function openOverlayFiles(id) {
  const own = await (await folder(true)).getDirectoryHandle(id, { create: true });
  const opened = [];
  try {
    for (const name of fileNames) opened.push(await openAlone(await own.getFileHandle(name, { create: true })));
  } catch (error) {
    for (const file of opened) file.close();
    throw error;
  }
  return { data: opened[0], maps: opened.slice(1) };
}

async function openAlone(handle) {
  const deadline = performance.now() + lockedWait;
  for (;;) {
    try {
      return await handle.createSyncAccessHandle();
    } catch (error) {
      if (error.name !== 'NoModificationAllowedError') throw error;
      if (performance.now() > deadline) {
        throw new StorageError('other-tab', 'This image is in use in another tab of this browser.');
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

// Whether there is anything kept for this image.
export async function hasOverlay(id) {
  try {
    const own = await (await folder(false)).getDirectoryHandle(id);
    const sizes = await Promise.all(
      fileNames.map(async (name) => (await (await own.getFileHandle(name)).getFile()).size),
    );
    // A map of nothing is this long; what was only zeroed has no data.
    return sizes[0] > 0 || sizes.slice(1).some((size) => size > emptyMapBytes);
  } catch {
    return false;
  }
}

// The data file, for reading it as a Blob.
export async function overlayData(id) {
  const own = await (await folder(false)).getDirectoryHandle(id);
  return (await own.getFileHandle('data')).getFile();
}

export async function discardOverlay(id) {
  const deadline = performance.now() + lockedWait;
  for (;;) {
    try {
      return await (await folder(false)).removeEntry(id, { recursive: true });
    } catch (error) {
      if (error.name === 'NotFoundError') return;
      if (performance.now() > deadline) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
