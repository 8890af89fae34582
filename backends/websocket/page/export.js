// What becomes of the changes: written into the image's own file, or given as a merged copy. Both take pieces of
// files as Blobs, so neither holds more than a piece in memory.

const zeroBytes = 1024 * 1024;

// runs: [offset, length, place in the data file, or -1 for zeroes]…, in order. As objects.
function* each(runs) {
  for (let i = 0; i < runs.length; i += 3) yield { offset: runs[i], length: runs[i + 1], at: runs[i + 2] };
}

function* pieces({ length, at }, data, zeroes) {
  if (at >= 0) {
    yield data.slice(at, at + length);
    return;
  }
  for (let done = 0; done < length; done += zeroBytes) yield zeroes.slice(0, Math.min(zeroBytes, length - done));
}

// The image with its changes, as one Blob: nothing is read before somebody reads it.
export function merged(file, data, runs) {
  const zeroes = new Blob([new Uint8Array(zeroBytes)]);
  const parts = [];
  let end = 0;
  for (const run of each(runs)) {
    if (run.offset > end) parts.push(file.slice(end, run.offset));
    parts.push(...pieces(run, data, zeroes));
    end = run.offset + run.length;
  }
  if (end < file.size) parts.push(file.slice(end));
  return new Blob(parts, { type: 'application/octet-stream' });
}

// Writes the changes into the file. The browser works on a copy and puts it in the file's place at close(): whatever
// fails, the file is as it was. progress(share, words).
export async function saveInto(handle, data, runs, progress) {
  const writable = await handle.createWritable({ keepExistingData: true });
  try {
    const zeroes = new Blob([new Uint8Array(zeroBytes)]);
    const total = [...each(runs)].reduce((sum, { length }) => sum + length, 0);
    let done = 0;
    for (const run of each(runs)) {
      let position = run.offset;
      for (const piece of pieces(run, data, zeroes)) {
        await writable.write({ type: 'write', position, data: piece });
        position += piece.size;
        done += piece.size;
        progress(done / total);
      }
    }
  } catch (error) {
    await writable.abort().catch(() => {});
    throw error;
  }
  await writable.close();
}

// Hands the browser's download manager a Blob.
export function download(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  // The download holds the Blob by then; the URL would keep it for as long as the page lives.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

// "disk.img" -> "disk-changed.img"
export function mergedName(name) {
  const dot = name.lastIndexOf('.');
  return dot > 0 ? `${name.slice(0, dot)}-changed${name.slice(dot)}` : `${name}-changed`;
}
