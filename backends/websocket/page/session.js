// One attached image, from login to eject: which state it is in, and its websockets. Pure but for what `env` gives
// it, so that tests can play network, clock and chance.
//
//   signing-in -> preparing -> connecting -> attached <-> reconnecting
//                                               |-> ejecting -> ended        any state -> ended
//
// The page keeps one websocket more than the gateway takes for its lanes. Each is opened again by itself when it
// ends: at once, then ever more rarely. What a close frame means is the gateway's say: 4000 and 4001 are final.
//
// Eject: only one websocket says 1000. The gateway then ends the session in order, which still may need what is in
// here (a stop hook reads the device); the others serve until it closes them, or until time is up.

import { Backoff, Offers } from './backoff.js';
import { GatewayError } from './gateway.js';

const closeCode = { eject: 1000, detached: 4000, failed: 4001, outOfStep: 4002, leave: 4003 };
const ejectWait = 20_000; // ms: the stop hooks of the other side included
const heedWait = 1_200; // for the gateway to begin with the end of the session
const messengerWait = 6_000; // for a websocket that can say that the image was ejected
const offeredAgain = 1_500; // a connection that was not needed is open again by then
const settledAfter = 5_000; // open for this long: a connection that worked
const unknownMax = 20;
const starting = 700; // between two questions for the session's state
const serving = 5_000;

export class Session {
  #env;
  #gateway;
  #image;
  #slots = [];
  #pollTimer = null;
  #ejectTimer = null;
  #hasSaidEject = false;
  #awayTimer = null;
  #unknown = 0; // answers that the session is unknown, before anything was attached
  #signIn;
  #grant = null;
  state = 'idle';
  device = null;
  phase = null; // of the gateway's session: starting, serving, …

  // env: {now, setTimeout, clearTimeout, random, openSocket(url, protocols, {open, message, close(code, reason)}) ->
  // {send,
  //   close, bufferedAmount}, serve(socket, {ready, end}) -> {receive, resume, close}, prepare(grant) -> Promise}
  // tell({state, phase, kind, words, device, connections}) at each change; tellGrant(grant) once it is known.
  constructor(env, gateway, image, { tell, tellGrant }) {
    this.#env = env;
    this.#gateway = gateway;
    this.#image = image;
    this.tell = tell;
    this.tellGrant = tellGrant;
    this.#signIn = new Backoff(env.random);
  }

  get openSockets() {
    return this.#slots.filter(({ isOpen }) => isOpen).length;
  }

  async attach(configuration, token) {
    this.#enter('signing-in');
    let grant;
    while (!grant) {
      try {
        grant = await this.#gateway.login(configuration, token);
      } catch (error) {
        if (this.state !== 'signing-in') return;
        if (error.kind !== 'unreachable') return this.#fail(error);
        this.#enter('signing-in', { kind: 'unreachable', words: error.message });
        await new Promise((resolve) => this.#env.setTimeout(resolve, this.#signIn.next()));
      }
      if (this.state !== 'signing-in') return;
    }
    await this.#begin(grant);
  }

  // After a reload of the page: the session is there already, if the gateway still knows it.
  async resume(grant) {
    this.#enter('reconnecting');
    await this.#begin(grant, 'reconnecting');
  }

  eject() {
    if (this.state === 'ended' || this.state === 'ejecting') return;
    const open = this.#slots.filter(({ isOpen }) => isOpen);
    this.#enter('ejecting');
    for (const slot of this.#slots) this.#env.clearTimeout(slot.timer);
    if (this.#slots.length === 0) return this.#end('ejected');
    // One that waits for work rather than one whose requests would have to be asked again.
    if (open.length > 0) return this.#sayEject(open.find(({ isServing }) => !isServing) ?? open[0]);
    // None is open just now. Without a word the gateway would wait for us for as long as it may.
    this.#ejectTimer = this.#env.setTimeout(() => this.#end('ejected', { kind: 'ejected-away' }), messengerWait);
    if (!this.#slots[0].socket) this.#open(this.#slots[0]);
  }

  #sayEject(slot) {
    this.#hasSaidEject = true;
    slot.socket.close(closeCode.eject, 'ejected');
    this.#env.clearTimeout(this.#ejectTimer);
    this.#ejectTimer = this.#env.setTimeout(() => this.#end('ejected'), ejectWait);
    this.#watchEject(this.#env.now());
  }

  // A gateway that ends the session needs us a while longer. One that goes on serving waits for all to be closed.
  async #watchEject(since) {
    await new Promise((resolve) => this.#env.setTimeout(resolve, starting));
    const session = await this.#gateway.session(this.#grant.session).catch(() => undefined);
    if (this.state !== 'ejecting') return;
    const goesOn = session?.state === 'serving' && this.#env.now() - since > heedWait;
    if (session === null || session?.state === 'ended' || goesOn) return this.#end('ejected');
    this.#watchEject(since);
  }

  // The network is back: what waits for its turn need not.
  hurry() {
    for (const slot of this.#slots) {
      if (slot.timer === null || slot.socket) continue;
      this.#env.clearTimeout(slot.timer);
      slot.backoff.reset();
      this.#open(slot);
    }
  }

  // ---- the beginning

  async #begin(grant, state = 'connecting') {
    this.#grant = grant;
    this.tellGrant(grant);
    if (state !== 'reconnecting') this.#enter('preparing');
    try {
      await this.#env.prepare(grant);
    } catch (error) {
      return this.#fail(error);
    }
    if (this.state === 'ended' || this.state === 'ejecting') return;
    this.#enter(state);
    for (let i = 0; i < this.#socketCount(); i++) {
      const slot = {
        backoff: new Backoff(this.#env.random),
        offers: new Offers(this.#env.random),
        timer: null,
        socket: null,
        server: null,
        isOpen: false,
        isServing: false,
      };
      this.#slots.push(slot);
      this.#open(slot);
    }
    this.#pollSoon(starting);
  }

  #socketCount() {
    return Math.max(1, Math.min(16, this.#grant.connections ?? 1)) + 1;
  }

  // ---- one websocket

  #open(slot) {
    slot.timer = null;
    const url = this.#gateway.socketUrl(this.#grant.path, this.#image, this.#socketCount());
    const protocols = this.#grant.session ? [`nbd.session.${this.#grant.session}`] : [];
    let openedAt = null;
    const socket = this.#env.openSocket(url, protocols, {
      open: () => {
        slot.isOpen = true;
        if (this.state === 'ejecting' && !this.#hasSaidEject) return this.#sayEject(slot);
        openedAt = this.#env.now();
        slot.server = this.#env.serve(socket, {
          ready: () => this.#ready(slot),
          end: (error) => this.#serverEnded(slot, socket, error),
        });
        this.#changed();
      },
      message: (bytes) => slot.server?.receive(bytes),
      close: (code, reason) => {
        slot.server?.close();
          const wasGood = slot.isServing || (openedAt !== null && this.#env.now() - openedAt > settledAfter);
        Object.assign(slot, { socket: null, server: null, isOpen: false, isServing: false });
        this.#closed(slot, code, reason, wasGood);
      },
    });
    slot.socket = socket;
  }

  #ready(slot) {
    slot.isServing = true;
    slot.backoff.reset();
    if (this.state === 'connecting' || this.state === 'reconnecting') this.#enter('attached');
    this.#pollSoon(0);
  }

  #serverEnded(slot, socket, error) {
    slot.isServing = false;
    if (error) socket.close(closeCode.outOfStep, error.message.slice(0, 100));
    // The client took its leave and waits for this: it proves that nothing of what it sent is still to be carried out,
    // which the browser's own answer to a close frame would not. 1000 would eject the image.
    else socket.close(closeCode.leave, '');
  }

  #closed(slot, code, reason, wasGood) {
    if (this.state === 'ended') return;
    if (this.state === 'ejecting') return this.#closedWhileEjecting(slot);
    if (code === closeCode.detached) return this.#end('detached', { words: reason });
    if (code === closeCode.failed) return this.#end('failed', { words: reason.replace(/^failed: */, '') });
    const notNeeded = code === 1000 || code === 1005;
    if (wasGood) slot.backoff.reset();
    const delay = notNeeded ? slot.offers.next(this.#env.now()) : slot.backoff.next();
    slot.timer = this.#env.setTimeout(() => this.#open(slot), delay);
    if (this.openSockets === 0 && this.state === 'attached') this.#missed(notNeeded ? offeredAgain : 0);
    // Browsers do not tell why a websocket was refused; the gateway does, when it is asked.
    if (this.openSockets === 0 && slot.backoff.failures > 1) this.#pollSoon(0);
    this.#changed();
  }

  #closedWhileEjecting(slot) {
    if (this.openSockets > 0) return;
    if (this.#hasSaidEject) return this.#end('ejected');
    slot.timer = this.#env.setTimeout(() => this.#open(slot), slot.backoff.next());
  }

  // No websocket is open. One that was only not needed is back before anybody has to worry.
  #missed(delay) {
    this.#env.clearTimeout(this.#awayTimer);
    if (delay === 0) return this.#enter('reconnecting');
    this.#awayTimer = this.#env.setTimeout(() => {
      if (this.openSockets === 0 && this.state === 'attached') this.#enter('reconnecting');
    }, delay);
  }

  // ---- what the gateway says of the session

  #pollSoon(delay) {
    this.#env.clearTimeout(this.#pollTimer);
    this.#pollTimer = this.#env.setTimeout(() => this.#poll(), delay);
  }

  async #poll() {
    if (!this.#grant.session || this.#isOver()) return;
    let session;
    try {
      session = await this.#gateway.session(this.#grant.session);
    } catch {
      session = undefined; // out of reach: the websockets' back-off goes on
    }
    if (this.#isOver()) return;
    if (session === null && this.#isLost()) return this.#end('lost');
    if (session?.state === 'ended')
      return this.#end(session.error ? 'failed' : 'detached', { words: session.error ?? '' });
    if (session) {
      this.device = session.device ?? session.socket ?? null;
      this.phase = session.state;
      // Back, and nobody has asked for anything yet.
      const isBack = this.state === 'reconnecting' && session.state === 'serving' && this.openSockets > 0;
      if (isBack) this.state = 'attached';
      this.#changed();
    }
    this.#pollSoon(session?.state === 'serving' ? serving : starting);
  }

  // The gateway does not know the session. It does not yet either before the first websocket has come to it.
  #isLost() {
    if (this.openSockets > 0) return false;
    return this.state !== 'connecting' || ++this.#unknown > unknownMax;
  }

  #isOver() {
    return this.state === 'ended' || this.state === 'ejecting';
  }

  // ---- states

  #fail(error) {
    this.#end(error instanceof GatewayError ? error.kind : (error.kind ?? 'failed'), { words: error.message });
  }

  #end(kind, more = {}) {
    if (this.state === 'ended') return;
    this.state = 'ended';
    this.#env.clearTimeout(this.#pollTimer);
    this.#env.clearTimeout(this.#ejectTimer);
    this.#env.clearTimeout(this.#awayTimer);
    for (const slot of this.#slots) {
      this.#env.clearTimeout(slot.timer);
      // What still arrives finds nobody: the store is about to be closed.
      slot.server?.close();
      slot.socket?.close(closeCode.eject, 'the session is over');
    }
    this.#enter('ended', { kind, ...more });
  }

  #enter(state, more = {}) {
    this.state = state;
    this.#changed(more);
  }

  #changed(more = {}) {
    this.tell({ state: this.state, phase: this.phase, device: this.device, connections: this.openSockets, ...more });
  }
}
