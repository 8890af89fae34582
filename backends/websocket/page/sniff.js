// A guess at what an image holds, to show that it is the right one. It changes nothing: the machine gets the bytes as
// they are, and for formats that hide the disk inside (qcow2, gzip, …) that deserves a warning.

const ascii = (bytes, at, length) =>
  String.fromCharCode(...bytes.subarray(at, at + length))
    .replace(/\0.*$/s, '')
    .trim();
const startsWith = (bytes, ...values) => values.every((value, i) => bytes[i] === value);

const wrapped = [
  ['QEMU qcow2', (bytes) => startsWith(bytes, 0x51, 0x46, 0x49, 0xfb)],
  ['VMware VMDK', (bytes) => startsWith(bytes, 0x4b, 0x44, 0x4d, 0x56)],
  ['VHDX', (bytes) => ascii(bytes, 0, 8) === 'vhdxfile'],
  ['VirtualBox VDI', (bytes) => startsWith(bytes.subarray(64), 0x7f, 0x10, 0xda, 0xbe)],
  ['gzip', (bytes) => startsWith(bytes, 0x1f, 0x8b)],
  ['xz', (bytes) => startsWith(bytes, 0xfd, 0x37, 0x7a, 0x58, 0x5a)],
  ['Zstandard', (bytes) => startsWith(bytes, 0x28, 0xb5, 0x2f, 0xfd)],
  ['ZIP', (bytes) => startsWith(bytes, 0x50, 0x4b, 3, 4)],
];

// {words, warning}: each a string or null.
export async function sniff(file) {
  const bytes = new Uint8Array(await file.slice(0, 64 * 1024).arrayBuffer());
  const found = wrapped.find(([, matches]) => matches(bytes));
  if (found) {
    return {
      words: found[0],
      warning: `This is a ${found[0]} file. The machine sees the file itself, not the disk inside: unpack it first.`,
    };
  }
  return { words: contents(bytes), warning: file.size % 512 === 0 ? null : oddSize };
}

const oddSize = 'Its size is not a multiple of 512 bytes, so the machine may not see the last few bytes.';

function contents(bytes) {
  const view = new DataView(bytes.buffer);
  if (bytes.length > 34000 && ascii(bytes, 32769, 5) === 'CD001') {
    const label = ascii(bytes, 32808, 32);
    return label ? `CD/DVD image “${label}”` : 'CD/DVD image';
  }
  if (bytes.length >= 1024 && ascii(bytes, 512, 8) === 'EFI PART') return 'Disk with a GPT partition table';
  if (bytes.length >= 1144 && view.getUint16(1080, true) === 0xef53) {
    const label = ascii(bytes, 1144, 16);
    return label ? `ext file system “${label}”` : 'ext file system';
  }
  if (bytes.length >= 4 && ascii(bytes, 0, 4) === 'XFSB') return 'XFS file system';
  if (bytes.length >= 512 && view.getUint16(510) === 0x55aa) {
    if (ascii(bytes, 3, 4) === 'NTFS') return 'NTFS file system';
    if (ascii(bytes, 54, 3) === 'FAT' || ascii(bytes, 82, 5) === 'FAT32') return 'FAT file system';
    return 'Disk with partitions (MBR)';
  }
  return null;
}
