// How a card looks: made once, then draw() writes what has changed. No state of its own but what is being typed.

import { element, setText, show } from './dom.js';
import { Figures } from './figures.js';
import { bytes, notice, stateWords, whyReadOnly } from './words.js';

let cards = 0;

export class CardView {
  #model;
  #actions;
  #parts = {};
  #figures;

  constructor(model, actions) {
    this.#model = model;
    this.#actions = actions;
    this.#figures = new Figures();
    const id = `card-${++cards}`;
    const heading = element('h2', { id, tabindex: '-1' }, model.name);
    this.#parts.heading = heading;
    this.element = element(
      'article.card',
      { 'aria-labelledby': id, 'data-image': model.name },
      this.#head(heading),
      this.#notice(),
      this.#figures.element,
      this.#busy(),
      this.#changes(),
      this.#setup(id),
      this.#buttons(),
    );
    this.draw();
  }

  focus() {
    this.#parts.heading.focus();
  }

  draw() {
    const focused = this.element.contains(document.activeElement) ? document.activeElement : null;
    this.#drawAll();
    // A button that goes away takes the keyboard with it; it goes on from the image's name.
    if (focused?.closest('[hidden]')) this.#parts.heading.focus();
  }

  #drawAll() {
    const model = this.#model;
    this.element.dataset.state = model.state === 'preparing' ? 'connecting' : model.state;
    setText(this.#parts.about, [bytes(model.size), model.contents].filter(Boolean).join(' · '));
    setText(this.#parts.state, stateWords(model));
    this.#drawNotice();
    this.#drawSetup();
    this.#figures.draw(model);
    this.#drawChanges();
    this.#drawBusy();
    this.#drawButtons();
  }

  // ---- head

  #head(heading) {
    this.#parts.about = element('p.about');
    this.#parts.state = element('span', { 'data-value': 'state' });
    return element(
      'header.card-head',
      {},
      element('div.card-title', {}, heading, this.#parts.about),
      element('p.state', { role: 'status' }, element('span.dot', { 'aria-hidden': 'true' }), this.#parts.state),
    );
  }

  // ---- notice

  #notice() {
    const title = element('strong');
    const text = element('p');
    const box = element('div.notice', { role: 'alert', hidden: true }, element('p', {}, title), text);
    Object.assign(this.#parts, { notice: box, noticeTitle: title, noticeText: text });
    return box;
  }

  #drawNotice() {
    const { notice: told, warning, state } = this.#model;
    const words = told ? notice(told.kind, told.told) : null;
    const [title, text, weight] =
      words ?? (warning && state === 'chosen' ? ['Is this the right file?', warning, 'warning'] : []);
    show(this.#parts.notice, title !== undefined);
    if (title === undefined) return;
    this.#parts.notice.dataset.kind = words ? told.kind : 'odd';
    this.#parts.notice.dataset.weight = weight;
    setText(this.#parts.noticeTitle, title);
    setText(this.#parts.noticeText, text);
  }

  // ---- before it is attached

  #setup(id) {
    const set = (name) => (event) => this.#actions.set(name, event.target.value.trim());
    const writable = element('input', {
      type: 'checkbox',
      role: 'switch',
      id: `${id}-writable`,
      'data-field': 'writable',
      'aria-describedby': `${id}-why`,
      onchange: (event) => this.#actions.set('writable', event.target.checked),
    });
    const why = element('p.hint', { id: `${id}-why` });
    const field = (name, label, hint, more) =>
      element(
        'div.field',
        {},
        element('label', { for: `${id}-${name}` }, label),
        element('input', {
          id: `${id}-${name}`,
          'data-field': name,
          autocomplete: 'off',
          spellcheck: 'false',
          oninput: set(name),
          ...more,
        }),
        element('p.hint', {}, hint),
      );
    const options = element(
      'details',
      {},
      element('summary', {}, 'Options'),
      field('configuration', 'Slot', 'The gateway’s name for the device. Empty: its default.', { type: 'text' }),
      field('token', 'Access token', 'Only if the link that brought you here had none.', { type: 'password' }),
    );
    Object.assign(this.#parts, { writable, why, options });
    this.#parts.configuration = options.querySelector('[data-field=configuration]');
    this.#parts.token = options.querySelector('[data-field=token]');
    this.#parts.setup = element(
      'div.setup',
      {},
      element(
        'div.switch',
        {},
        writable,
        element('div', {}, element('label', { for: `${id}-writable` }, 'Let the machine write'), why),
      ),
      options,
    );
    return this.#parts.setup;
  }

  #drawSetup() {
    const {
      state,
      writable,
      canWrite,
      whyReadOnly: reason,
      notice: told,
      configuration,
      changes,
      busy,
      token,
    } = this.#model;
    show(this.#parts.setup, !busy && (state === 'chosen' || state === 'ended'));
    this.#parts.writable.checked = writable && canWrite;
    this.#parts.writable.disabled = !canWrite;
    const kept = changes === 'kept' ? ' The changes from last time are part of it.' : '';
    const promise = writable
      ? 'Changes stay in this browser. The file is not touched unless you save them into it.'
      : 'The image is write-protected.';
    setText(this.#parts.why, canWrite ? promise + kept : `The machine can only read. ${whyReadOnly(reason)}`);
    if (document.activeElement !== this.#parts.configuration) this.#parts.configuration.value = configuration;
    if (token === '' && state !== 'chosen') this.#parts.token.value = '';
    if (told?.kind === 'denied' && !this.#parts.wasDenied) this.#parts.options.open = true;
    this.#parts.wasDenied = told?.kind === 'denied';
  }

  // ---- what became of it

  #changes() {
    const title = element('h3', {}, 'Changes');
    const text = element('p');
    const box = element(
      'section.changes',
      { hidden: true },
      title,
      text,
      element(
        'div.buttons',
        {},
        this.#button('save', 'Save into the file', 'primary'),
        this.#button('download', 'Download a merged copy'),
        this.#button('discard', 'Discard', 'danger'),
      ),
    );
    Object.assign(this.#parts, { changes: box, changesText: text });
    return box;
  }

  #drawChanges() {
    const { changes, state, canSave, storedBytes, busy } = this.#model;
    show(this.#parts.changes, changes === 'kept' && !busy && (state === 'ended' || state === 'chosen'));
    show(this.#parts.save, canSave);
    this.#parts.download.classList.toggle('primary', !canSave);
    const amount = storedBytes > 0 ? `${bytes(storedBytes)} of changes are` : 'Changes of this image are';
    const how = canSave ? '' : ' The file was opened for reading only; a merged copy has everything.';
    setText(this.#parts.changesText, `${amount} kept in this browser until you decide.${how}`);
  }

  // ---- work that takes a while

  #busy() {
    this.#parts.busyWords = element('span');
    this.#parts.progress = element('progress', { max: '1', 'aria-label': 'Progress' });
    this.#parts.busy = element(
      'p.busy',
      { role: 'status', hidden: true },
      this.#parts.busyWords,
      this.#parts.progress,
    );
    return this.#parts.busy;
  }

  #drawBusy() {
    const { busy } = this.#model;
    show(this.#parts.busy, busy !== null);
    if (!busy) return;
    setText(this.#parts.busyWords, busy.words);
    if (busy.share === null) this.#parts.progress.removeAttribute('value');
    else this.#parts.progress.value = busy.share;
  }

  // ---- buttons

  #buttons() {
    const chooseAgain = () => document.getElementById('image-input').click();
    this.#parts.buttons = element(
      'footer.buttons',
      {},
      this.#button('attach', 'Attach', 'primary'),
      this.#button('eject', 'Eject'),
      this.#button('permit', 'Continue', 'primary'),
      this.#button('choose-again', 'Choose the file …', 'primary', chooseAgain),
      this.#button('remove', 'Remove from this page', 'quiet'),
    );
    return this.#parts.buttons;
  }

  #button(action, label, kind = 'plain', act = () => this.#actions[action]()) {
    const button = element(`button.${kind}`, { type: 'button', 'data-action': action, onclick: act }, label);
    this.#parts[action] = button;
    return button;
  }

  #drawButtons() {
    const { state, needs, busy, changes, notice: told } = this.#model;
    const isOff = state === 'chosen' || state === 'ended';
    show(this.#parts.attach, isOff);
    setText(this.#parts.attach, state === 'ended' && told?.kind !== 'denied' ? 'Attach again' : 'Attach');
    this.#parts.attach.classList.toggle('primary', !(changes === 'kept' && state === 'ended'));
    this.#parts.attach.disabled = busy !== null;
    show(this.#parts.eject, !isOff && state !== 'resume');
    this.#parts.eject.disabled = state === 'ejecting';
    show(this.#parts.permit, state === 'resume' && needs === 'permission');
    show(this.#parts['choose-again'], state === 'resume' && needs === 'file');
    show(this.#parts.remove, isOff || state === 'resume');
    this.#parts.remove.disabled = busy !== null;
  }
}
