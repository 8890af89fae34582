// What tells one image from another: name, size, time of change and the first bytes. A peer that returns must bring
// the same image, and kept changes belong to one image only. Not a secret, and no proof against an enemy.

import { sha256 } from './sha256.js';

const headBytes = 64 * 1024;

// {id, name, size, modified}. The file is read: throws when it cannot be.
export async function identify(file) {
  const head = new Uint8Array(await file.slice(0, headBytes).arrayBuffer());
  const about = new TextEncoder().encode(JSON.stringify([file.name, file.size, file.lastModified]));
  const all = new Uint8Array(about.length + head.length);
  all.set(about);
  all.set(head, about.length);
  return { id: sha256(all).slice(0, 32), name: file.name, size: file.size, modified: file.lastModified };
}

// Why this file is not the one that was served before, in words; null: it is.
export function difference(wanted, found) {
  if (wanted.id === found.id) return null;
  if (wanted.name !== found.name) return `it is called “${found.name}”, not “${wanted.name}”`;
  if (wanted.size !== found.size) return 'its size is different now';
  if (wanted.modified !== found.modified) return 'it has been changed since';
  return 'its contents are different now';
}
