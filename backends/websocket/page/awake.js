// While an image is attached: the computer stays awake, and the browser keeps this tab going (a page that holds a Web
// Lock is not frozen) and asks before it is closed. Each where the browser has it; none is needed for serving.

let isServing = false;
let letGo = null;
let wakeLock = null;

export function setServing(serving) {
  if (serving === isServing) return;
  isServing = serving;
  if (serving) {
    addEventListener('beforeunload', askFirst);
    navigator.locks?.request('nbdring', { mode: 'shared' }, () => new Promise((resolve) => (letGo = resolve)));
    stayAwake();
  } else {
    removeEventListener('beforeunload', askFirst);
    letGo?.();
    letGo = null;
    wakeLock?.release();
    wakeLock = null;
  }
}

function askFirst(event) {
  event.preventDefault();
}

async function stayAwake() {
  try {
    wakeLock = (await navigator.wakeLock?.request('screen')) ?? null;
    if (!isServing) wakeLock?.release();
  } catch {
    wakeLock = null; // a low battery, a hidden tab: the browser's decision
  }
}

// The browser takes the lock away from a page that is not seen.
document.addEventListener('visibilitychange', () => {
  if (isServing && document.visibilityState === 'visible') stayAwake();
});
