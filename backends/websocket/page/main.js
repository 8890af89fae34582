// The page's glue: files come in (picked, dropped, or remembered from before a reload), cards go up, the token stays
// out of sight. Everything about one image is image-card.js.

import { setServing } from './awake.js';
import { setText, show } from './dom.js';
import { identify } from './identity.js';
import { ImageCard } from './image-card.js';
import { Keyring, linkFor, readFragment, sessions } from './memory.js';
import { notice } from './words.js';

const at = (id) => document.getElementById(id);
const cards = new Set();
const keyring = new Keyring();
const base = new URL('.', location.href).href;

const fragment = readFragment(location.hash);
if (fragment.token) {
  keyring.token = fragment.token;
  // A secret must not stay where it is photographed, copied or synchronised.
  history.replaceState(null, '', location.pathname + location.search);
}

const page = {
  base,
  keyring,
  configuration: fragment.configuration,
  changed: drawPage,
  removed: (card) => {
    const next = card.element.nextElementSibling ?? card.element.previousElementSibling;
    card.element.remove();
    cards.delete(card);
    drawPage();
    // Whoever works with the keyboard is not sent to the top.
    (next?.querySelector('h2') ?? at('choose')).focus();
  },
  granted: (grant) => {
    if (grant.next_token) keyring.token = grant.next_token;
    drawPage();
  },
};

function drawPage() {
  const isAttached = [...cards].some((card) => card.isAttached);
  setServing(isAttached);
  document.body.classList.toggle('has-cards', cards.size > 0);
  const attached = [...cards].filter(({ model }) => model.state === 'attached').length;
  document.title = attached > 0 ? `${attached} attached – nbdring` : 'nbdring';
  const isKnown = keyring.token !== '' && keyring.token !== fragment.token;
  show(at('return'), isKnown);
  if (isKnown) at('return-link').value = linkFor(base, keyring.token);
}

function addCard(identity) {
  const card = new ImageCard(page, identity);
  cards.add(card);
  at('cards').append(card.element);
  drawPage();
  return card;
}

// files: [{file, handle or null}]
async function take(files) {
  tell(null);
  for (const { file, handle } of files) {
    try {
      await takeOne(file, handle);
    } catch (error) {
      tell(notice('unreadable', `${file.name}: ${error.message}`));
    }
  }
}

async function takeOne(file, handle) {
  if (file.size === 0) throw new Error('it is empty, or it is a folder');
  const identity = await identify(file);
  const here = [...cards].find((card) => card.identity.id === identity.id);
  if (here?.waitsForFile) return void (await here.offer(file, handle));
  if (here) return here.focus();
  const waiting = [...cards].filter((card) => card.waitsForFile);
  // While one is waited for a file that nearly fits is taken for a mistake, and said so.
  const meant = waiting.find((card) => card.identity.name === identity.name);
  if (meant) return void (await meant.offer(file, handle));
  const card = addCard(identity);
  await card.useFile(file, handle);
  card.focus();
}

function tell(words) {
  show(at('page-notice'), words !== null);
  if (!words) return;
  setText(at('page-notice-title'), words[0]);
  setText(at('page-notice-text'), words[1]);
}

// ---- picking

at('choose').addEventListener('click', async () => {
  // A handle can be opened again after a reload and written to at eject; an <input>'s file cannot.
  if (!globalThis.showOpenFilePicker) return at('image-input').click();
  let picked;
  try {
    picked = await showOpenFilePicker({ multiple: true });
  } catch (error) {
    if (error.name === 'AbortError') return;
    return at('image-input').click();
  }
  await take(await Promise.all(picked.map(async (handle) => ({ file: await handle.getFile(), handle }))));
});

at('image-input').addEventListener('change', async ({ target }) => {
  const files = [...target.files].map((file) => ({ file, handle: null }));
  target.value = ''; // the same file may be chosen again
  await take(files);
});

// ---- dropping: the whole page takes files, so that none is opened by the browser instead

let depth = 0; // dragenter and dragleave come for each element under the pointer
const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes('Files');

addEventListener('dragenter', (event) => {
  if (!hasFiles(event)) return;
  depth++;
  document.body.classList.add('is-dragging');
});
addEventListener('dragleave', (event) => {
  if (!hasFiles(event)) return;
  depth = Math.max(0, depth - 1);
  if (depth === 0) document.body.classList.remove('is-dragging');
});
addEventListener('dragover', (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  event.dataTransfer.dropEffect = 'copy';
});
addEventListener('drop', async (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  depth = 0;
  document.body.classList.remove('is-dragging');
  // Both are asked for before the first wait: afterwards the browser has emptied the list.
  const dropped = [...event.dataTransfer.items]
    .filter(({ kind }) => kind === 'file')
    .map((item) => ({
      file: item.getAsFile(),
      handle: item.getAsFileSystemHandle?.() ?? null,
    }));
  await take(
    await Promise.all(
      dropped
        .filter(({ file }) => file)
        .map(async ({ file, handle }) => {
          const got = await Promise.resolve(handle).catch(() => null);
          return { file, handle: got?.kind === 'file' ? got : null };
        }),
    ),
  );
});

// ---- the link for next time

at('return-copy').addEventListener('click', async () => {
  const field = at('return-link');
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
    setText(at('return-copy'), 'Copied');
    setTimeout(() => setText(at('return-copy'), 'Copy'), 2000);
  } catch {
    // Without a clipboard the selected text is there to be copied by hand.
  }
});

// ---- beginning

show(at('security-note'), !globalThis.isSecureContext);
for (const session of sessions.all()) addCard(session.identity).comeBack(session);
drawPage();
document.documentElement.dataset.ready = 'true';
