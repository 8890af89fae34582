// One image on the page, from choosing to eject: holds its state, owns its worker, and does what its buttons say. The
// view (card-view.js) only draws `model` and calls the actions.
//
//   chosen -> (worker's states, session.js) -> ended -> chosen …        resume: after a reload, until the file is there

import { CardView } from './card-view.js';
import { download, merged, mergedName, saveInto } from './export.js';
import { difference, identify } from './identity.js';
import { handles, sessions } from './memory.js';
import { discardOverlay, hasOverlay, overlayData, whyNoOverlay } from './opfs.js';
import { sniff } from './sniff.js';

const attachedStates = new Set(['signing-in', 'preparing', 'connecting', 'attached', 'reconnecting', 'ejecting']);

export class ImageCard {
  #page;
  #file = null;
  #handle = null;
  #worker = null;
  #changesAsked = null; // resolve of a question to the worker
  #view;

  // page: {base, keyring, changed(), removed(card)}; identity as identify() gives it.
  constructor(page, identity) {
    this.#page = page;
    this.identity = identity;
    const why = whyNoOverlay();
    this.model = {
      name: identity.name,
      size: identity.size,
      contents: null,
      state: 'chosen',
      notice: null,
      device: null,
      phase: null,
      kind: null,
      figures: null,
      connections: 0,
      canWrite: why === null,
      whyReadOnly: why,
      writable: why === null,
      configuration: page.configuration ?? '',
      token: '',
      warning: null,
      changes: 'none',
      storedBytes: 0,
      busy: null,
      canSave: false,
      needs: null,
    };
    this.#view = new CardView(this.model, this.#actions());
    this.element = this.#view.element;
  }

  get isAttached() {
    return attachedStates.has(this.model.state);
  }

  get waitsForFile() {
    return this.model.state === 'resume';
  }

  // A file that the user has chosen for this image; its identity has been looked at.
  async useFile(file, handle) {
    this.#file = file;
    this.#handle = handle;
    this.#update({ canSave: typeof handle?.createWritable === 'function' });
    if (handle) handles.keep(this.identity.id, handle);
    const { words, warning } = await sniff(file);
    this.#update({ contents: words, warning });
    if (await hasOverlay(this.identity.id)) this.#update({ changes: 'kept' });
  }

  focus() {
    this.#view.focus();
  }

  // ---- after a reload

  // session: as it was kept. Goes on by itself where the browser still lets us read the file.
  async comeBack(session) {
    this.#update({
      state: 'resume',
      writable: session.writable,
      configuration: session.configuration,
      notice: { kind: 'choose' },
      needs: 'file',
    });
    const handle = await handles.find(this.identity.id);
    if (!handle) return;
    this.#handle = handle;
    if ((await handle.queryPermission({ mode: 'read' })) === 'granted') await this.#reopen();
    else this.#update({ notice: { kind: 'permit' }, needs: 'permission' });
  }

  async #reopen() {
    try {
      const file = await this.#handle.getFile();
      await this.offer(file, this.#handle);
    } catch (error) {
      this.#update({ notice: { kind: 'unreadable', told: error.message }, needs: 'file' });
    }
  }

  // A file while one is waited for: goes on if it is the one, and says why not otherwise.
  async offer(file, handle) {
    const why = difference(this.identity, await identify(file));
    if (why) {
      this.#update({ notice: { kind: 'different', told: why } });
      return false;
    }
    await this.useFile(file, handle);
    const session = sessions.all().find(({ identity }) => identity.id === this.identity.id);
    this.#update({ notice: null, needs: null, state: 'reconnecting', changes: 'none' });
    this.#startWorker();
    this.#worker.postMessage({
      type: 'resume',
      base: this.#page.base,
      grant: session.grant,
      writable: session.writable,
    });
    this.#page.changed();
    return true;
  }

  // ---- what the buttons do

  #actions() {
    return {
      attach: () => this.#attach(),
      eject: () => this.#worker?.postMessage({ type: 'eject' }),
      save: () => this.#export('save'),
      download: () => this.#export('download'),
      discard: () => this.#discard(),
      remove: () => this.#remove(),
      permit: () => this.#permit(),
      set: (field, value) => this.#update({ [field]: value }),
    };
  }

  #attach() {
    const { configuration, token, writable } = this.model;
    this.#startWorker();
    this.#update({ state: 'signing-in', notice: null, figures: null, device: null, phase: null, changes: 'none' });
    const message = {
      type: 'attach',
      base: this.#page.base,
      configuration,
      token: token || this.#page.keyring.token,
      writable,
    };
    this.#worker.postMessage(message);
    // Asked for once it matters; without it the browser may clear what is kept when the disk is full.
    if (writable) navigator.storage?.persist?.();
    this.#page.changed();
  }

  async #permit() {
    if ((await this.#handle.requestPermission({ mode: 'read' })) === 'granted') await this.#reopen();
  }

  async #export(way) {
    // The permission first: browsers give it only in the moment of a click.
    if (way === 'save' && (await this.#handle.requestPermission({ mode: 'readwrite' })) !== 'granted') return;
    this.#update({ busy: { words: way === 'save' ? 'Saving …' : 'Preparing …', share: 0 }, notice: null });
    try {
      const { runs } = await this.#askChanges();
      const data = await overlayData(this.identity.id);
      if (way === 'save') await this.#save(data, runs);
      else {
        download(merged(this.#file, data, runs), mergedName(this.model.name));
        this.#update({ busy: null, notice: { kind: 'downloading' } });
      }
    } catch (error) {
      this.#update({ busy: null, notice: { kind: error.kind ?? 'save-failed', told: error.message } });
    }
  }

  async #save(data, runs) {
    const why = difference(this.identity, await identify(await this.#handle.getFile()));
    if (why) throw new Error(`The file is not the one that was attached: ${why}`);
    await saveInto(this.#handle, data, runs, (share) => {
      this.#update({ busy: { words: share < 1 ? 'Saving …' : 'Putting the file in place …', share } });
    });
    await this.#forgetChanges();
    // It is a new image from here on: other contents, another time of change.
    this.#file = await this.#handle.getFile();
    this.identity = await identify(this.#file);
    handles.keep(this.identity.id, this.#handle);
    this.#endWorker();
    this.#update({ busy: null, notice: { kind: 'saved' }, changes: 'none', state: 'chosen', figures: null });
  }

  async #discard() {
    if (!confirm(`Discard the changes of ${this.model.name}? They cannot be brought back.`)) return;
    try {
      await this.#forgetChanges();
    } catch (error) {
      return this.#update({ notice: { kind: 'storage', told: error.message } });
    }
    this.#update({ changes: 'none', notice: { kind: 'discarded' }, state: 'chosen', figures: null });
  }

  async #forgetChanges() {
    this.#endWorker();
    await discardOverlay(this.identity.id);
  }

  #remove() {
    this.#endWorker();
    sessions.forget(this.identity.id);
    handles.forget(this.identity.id);
    this.#page.removed(this);
  }

  // ---- the worker

  #startWorker() {
    this.#endWorker();
    this.#worker = new Worker(new URL('worker.js', this.#page.base), { type: 'module', name: this.model.name });
    this.#worker.onmessage = ({ data }) => this.#hear(data);
    this.#worker.onerror = (event) =>
      this.#update({ state: 'ended', notice: { kind: 'failed', told: event.message ?? '' } });
    this.#worker.postMessage({ type: 'keep', file: this.#file, identity: this.identity });
  }

  #endWorker() {
    this.#worker?.terminate();
    this.#worker = null;
  }

  #hear(message) {
    if (message.type === 'figures') this.#update({ figures: message.figures });
    else if (message.type === 'state') this.#hearState(message);
    else if (message.type === 'grant') this.#hearGrant(message.grant);
    else if (message.type === 'problem') this.#update({ notice: { kind: message.kind, told: message.words } });
    else if (message.type === 'changes') this.#changesAsked?.(message);
  }

  #hearState({ state, kind, words, device, phase, connections, writable }) {
    if (state === 'ended') return this.#hearEnd(kind, words, writable);
    const wasAway = this.model.state === 'reconnecting';
    this.#update({ state, kind, device, phase, connections });
    if (kind || state === 'reconnecting') this.#update({ notice: { kind: kind ?? 'reconnecting', told: words } });
    else if (wasAway && this.model.notice?.kind === 'reconnecting') this.#update({ notice: null });
    else if (this.model.notice?.kind === 'unreachable') this.#update({ notice: null });
    this.#page.changed();
  }

  // It is over for the user once it is known what there is to decide.
  async #hearEnd(kind, words, writable) {
    sessions.forget(this.identity.id);
    let end = { kind, told: words };
    let changes = 'none';
    try {
      changes = await this.#lookAtChanges(kind, writable);
    } catch (error) {
      changes = 'kept';
      end = { kind: error.kind ?? 'storage', told: error.message };
    }
    this.#endWorker();
    this.#update({ state: 'ended', kind, notice: end, changes, connections: 0 });
    this.#page.changed();
  }

  async #lookAtChanges(kind, writable) {
    // Another tab has the files: they are its business.
    if (kind === 'other-tab') return 'none';
    if (await hasOverlay(this.identity.id)) {
      const { runs } = await this.#askChanges();
      if (runs.length > 0) return 'kept';
    } else if (!writable) return 'none';
    await this.#forgetChanges();
    return 'none';
  }

  #hearGrant(grant) {
    this.#page.granted(grant);
    // It has been used up, if one was typed in.
    this.#update({ token: '' });
    const { writable, configuration } = this.model;
    sessions.keep({ identity: this.identity, grant, writable, configuration: grant.configuration ?? configuration });
    if (grant.read_only) this.#update({ canWrite: false, whyReadOnly: 'gateway', writable: false });
  }

  // {runs, storedBytes}; throws what stands in the way.
  async #askChanges() {
    if (!this.#worker) this.#startWorker();
    const asked = new Promise((resolve) => (this.#changesAsked = resolve));
    this.#worker.postMessage({ type: 'changes' });
    const { runs, storedBytes, problem } = await asked;
    if (problem) throw Object.assign(new Error(problem.words), { kind: problem.kind });
    this.#update({ storedBytes });
    return { runs, storedBytes };
  }

  #update(change) {
    Object.assign(this.model, change);
    this.#view.draw();
  }
}
