// Everything the page says about states and troubles: what is the matter, and what to do. Numbers as people read
// them.

const units = ['B', 'kB', 'MB', 'GB', 'TB'];

export function bytes(count) {
  let unit = 0;
  while (count >= 1000 && unit < units.length - 1) {
    count /= 1000;
    unit++;
  }
  const digits = unit === 0 || count >= 100 ? 0 : count >= 10 ? 1 : 2;
  return `${count.toFixed(digits)} ${units[unit]}`;
}

export const rate = (bytesPerSecond) => (bytesPerSecond > 0 ? `${bytes(bytesPerSecond)}/s` : '0 B/s');

export function milliseconds(value) {
  if (value === null || value === undefined) return '–';
  if (value < 0.1) return '< 0.1 ms';
  return value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`;
}

const neverBegan = new Set(['denied', 'taken', 'refused', 'other-tab', 'damaged']);

// The pill beside an image's name.
export function stateWords({ state, phase, device, kind }) {
  switch (state) {
    case 'chosen':
      return 'Not attached';
    case 'resume':
      return 'Was attached';
    case 'signing-in':
      return 'Signing in …';
    case 'preparing':
    case 'connecting':
      return 'Connecting …';
    case 'attached':
      return device ? `Attached as ${device}` : phase === 'starting' ? 'Getting ready …' : 'Attached';
    case 'reconnecting':
      return 'Reconnecting …';
    case 'ejecting':
      return 'Ejecting …';
    default:
      if (kind === 'ejected') return 'Ejected';
      return neverBegan.has(kind) ? 'Not attached' : 'Not attached any more';
  }
}

const beginNew = 'Attach it again when you are ready.';

// kind -> [heading, explanation, how grave: 'info' 'warning' 'error']. told: the gateway's or browser's own words.
const notices = {
  unreachable: () => [
    'The gateway does not answer.',
    'This page keeps trying. Check the network, or whether the gateway runs.',
    'warning',
  ],
  denied: () => [
    'Access denied.',
    'The gateway does not accept this token. A token works once: ask for a new link, or enter another token below.',
    'error',
  ],
  taken: (told) => [
    'Somebody else is using this slot.',
    `${sentence(told)}Wait until it has been ejected there, or choose another slot under Options.`,
    'error',
  ],
  refused: (told) => [
    'The gateway refused this image.',
    `${sentence(told)}Choose another image or another slot.`,
    'error',
  ],
  failed: (told) => ['The machine could not use this image.', `${sentence(told)}${beginNew}`, 'error'],
  detached: (told) => [
    'Ejected by the machine.',
    `${told && told !== 'detached' ? sentence(told) : ''}The device was detached at the far side.`,
    'info',
  ],
  lost: () => [
    'The machine stopped waiting.',
    `The connection was away for longer than the gateway waits, so the device has ended. ${beginNew}`,
    'error',
  ],
  ejected: () => null,
  'ejected-away': () => [
    'Ejected while out of reach.',
    'The machine keeps waiting for a while before it gives the device up.',
    'warning',
  ],
  changed: () => [
    'The file has changed on this computer.',
    'It was edited, moved or deleted while it was attached, so the machine gets errors. Eject it and choose it again.',
    'error',
  ],
  'no-room': () => [
    'No room left for changes.',
    'The machine’s writes fail. Make room on this computer’s disk, or eject and save them.',
    'error',
  ],
  storage: (told) => [
    'The changes cannot be kept.',
    `${sentence(told)}Attach the image write-protected, or try another browser.`,
    'error',
  ],
  'other-tab': () => [
    'This image is in use in another tab.',
    'Two tabs cannot keep changes of one image. Close the other tab, or attach it there.',
    'error',
  ],
  damaged: (told) => [
    'The changes kept for this image cannot be used.',
    `${sentence(told)}Discard them to attach the image as it is on this computer.`,
    'error',
  ],
  reconnecting: () => [
    'The connection was lost.',
    'The machine waits for this page to come back; what it has asked for is not lost. Nothing needs to be done.',
    'warning',
  ],
  choose: () => [
    'Choose the same file again to go on.',
    'This page was reloaded while the image was attached. The machine is waiting for it.',
    'warning',
  ],
  permit: () => [
    'This page was reloaded while the image was attached.',
    'The machine is waiting for it. The browser needs your consent to open the file again.',
    'warning',
  ],
  different: (told) => [
    'That is not the image that was attached.',
    `${sentence(told)}Choose the file that the machine is waiting for.`,
    'error',
  ],
  unreadable: (told) => ['This file cannot be read.', sentence(told), 'error'],
  'save-failed': (told) => [
    'The changes were not saved.',
    `${sentence(told)}The file is as it was, and the changes are still here.`,
    'error',
  ],
  saved: () => ['Saved into the file.', 'The image on this computer now has the changes.', 'success'],
  downloading: () => [
    'The download has begun.',
    'Leave this page open until it is complete; then the changes can be discarded.',
    'info',
  ],
  discarded: () => ['The changes are gone.', 'The image is as it was before.', 'info'],
};

export function notice(kind, told = '') {
  return notices[kind]?.(told ?? '') ?? null;
}

function sentence(told) {
  if (!told) return '';
  const text = told[0].toUpperCase() + told.slice(1);
  return `${/[.!?]$/.test(text) ? text : `${text}.`} `;
}

// Why the machine may not write, under the switch; null: it may.
export function whyReadOnly(reason) {
  switch (reason) {
    case 'insecure':
      return 'Only over https:// (or on localhost) does a browser let a page keep changes.';
    case 'unsupported':
      return 'This browser cannot keep changes in files of its own.';
    case 'gateway':
      return 'The gateway allows reading only.';
    default:
      return null;
  }
}
