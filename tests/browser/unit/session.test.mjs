// The session's states, with network, clock and chance played: what it does when websockets end in every way there
// is.

import assert from 'node:assert/strict';
import test from 'node:test';
import { load } from './support/pages.mjs';

const { Session } = await load('session.js');
const { GatewayError } = await load('gateway.js');

// A clock that moves when it is told to; timers run in their order.
class Clock {
  time = 0;
  #timers = new Map();
  #next = 1;

  set(act, delay) {
    this.#timers.set(this.#next, { act, at: this.time + delay });
    return this.#next++;
  }

  clear(timer) {
    this.#timers.delete(timer);
  }

  async pass(milliseconds) {
    const end = this.time + milliseconds;
    for (;;) {
      await settle();
      const due = [...this.#timers].filter(([, { at }]) => at <= end).sort((a, b) => a[1].at - b[1].at)[0];
      if (!due) break;
      this.#timers.delete(due[0]);
      this.time = Math.max(this.time, due[1].at);
      due[1].act();
    }
    this.time = end;
    await settle();
  }
}

async function settle() {
  for (let i = 0; i < 10; i++) await null;
}

const grant = { path: '/0', session: 'KEY', connections: 2, read_only: false, next_token: 'a:b' };

function world() {
  const clock = new Clock();
  const here = {
    clock,
    sockets: [],
    told: [],
    grants: [],
    polls: 0,
    isReachable: true,
    standing: { state: 'serving', device: '/dev/nbd0' },
    login: async () => grant,
    prepare: async () => {},
  };
  const env = {
    now: () => clock.time,
    setTimeout: (act, delay) => clock.set(act, delay),
    clearTimeout: (timer) => clock.clear(timer),
    random: () => 0.5,
    prepare: (...args) => here.prepare(...args),
    openSocket: (url, protocols, handlers) => {
      const socket = { url, protocols, handlers, isOver: false, closedWith: null };
      socket.end = (code, reason = '') => {
        if (socket.isOver) return;
        socket.isOver = true;
        handlers.close(code, reason);
      };
      socket.close = (code, reason) => (socket.closedWith ??= [code, reason]);
      here.sockets.push(socket);
      if (here.isReachable) queueMicrotask(() => socket.isOver || handlers.open());
      else queueMicrotask(() => socket.end(1006));
      return socket;
    },
    serve: (socket, hooks) => {
      socket.hooks = hooks;
      return { receive() {}, close: () => (socket.isServed = false) };
    },
  };
  const gateway = {
    login: (...args) => here.login(...args),
    session: async () => {
      here.polls++;
      if (!here.isReachable) throw new GatewayError('unreachable', 'no');
      return here.standing;
    },
    socketUrl: (path, image, connections) => `ws://gateway${path}?image=${image}&connections=${connections}`,
  };
  here.session = new Session(env, gateway, 'IMAGE', {
    tell: (state) => here.told.push(state),
    tellGrant: (one) => here.grants.push(one),
  });
  here.env = env;
  here.open = () => here.sockets.filter(({ isOver }) => !isOver);
  here.last = () => here.told[here.told.length - 1];
  return here;
}

async function attached() {
  const here = world();
  here.session.attach('', 'a:b');
  await here.clock.pass(10);
  for (const socket of here.open().slice(0, 2)) socket.hooks.ready();
  await here.clock.pass(1000);
  assert.equal(here.session.state, 'attached');
  return here;
}

test('signs in, prepares, opens a websocket more than the gateway takes, is attached when one serves', async () => {
  const here = world();
  here.session.attach('', 'a:b');
  await here.clock.pass(10);
  assert.equal(here.session.state, 'connecting');
  assert.equal(here.open().length, 3);
  assert.equal(here.sockets[0].url, 'ws://gateway/0?image=IMAGE&connections=3');
  assert.deepEqual(here.sockets[0].protocols, ['nbd.session.KEY']);
  assert.deepEqual(here.grants, [grant]);
  here.sockets[1].hooks.ready();
  await here.clock.pass(1000);
  assert.equal(here.session.state, 'attached');
  assert.equal(here.last().device, '/dev/nbd0');
  assert.deepEqual(
    [...new Set(here.told.map(({ state }) => state))],
    ['signing-in', 'preparing', 'connecting', 'attached'],
  );
});

test('what the gateway refuses is the end, and it says why', async () => {
  for (const kind of ['denied', 'taken', 'refused', 'failed']) {
    const here = world();
    here.login = async () => {
      throw new GatewayError(kind, 'told');
    };
    here.session.attach('', 'a:b');
    await here.clock.pass(100);
    assert.deepEqual([here.session.state, here.last().kind, here.last().words], ['ended', kind, 'told']);
    assert.equal(here.sockets.length, 0);
  }
});

test('a gateway out of reach is asked again, ever more rarely', async () => {
  const here = world();
  const times = [];
  here.login = async () => {
    times.push(here.clock.time);
    if (times.length < 8) throw new GatewayError('unreachable', 'no');
    return grant;
  };
  here.session.attach('', '');
  await here.clock.pass(60_000);
  assert.equal(times.length, 8);
  const waits = times.slice(1).map((time, i) => time - times[i]);
  assert.deepEqual(
    waits,
    [...waits].sort((a, b) => a - b),
  );
  assert.ok(waits[6] <= 10_000);
  assert.ok(here.told.some(({ kind }) => kind === 'unreachable'));
});

test('what cannot be prepared (another tab has the changes) is the end, before anything is served', async () => {
  const here = world();
  here.prepare = async () => {
    throw Object.assign(new Error('in use'), { kind: 'other-tab' });
  };
  here.session.attach('', '');
  await here.clock.pass(100);
  assert.deepEqual([here.session.state, here.last().kind], ['ended', 'other-tab']);
  assert.equal(here.sockets.length, 0);
});

test('one websocket of several is lost: it comes back, and the image stays attached', async () => {
  const here = await attached();
  here.open()[0].end(1006);
  assert.equal(here.session.state, 'attached');
  await here.clock.pass(400);
  assert.equal(here.open().length, 3);
});

test('all are lost: reconnecting, at once and then with patience, until one serves again', async () => {
  const here = await attached();
  here.isReachable = false;
  const before = here.sockets.length;
  for (const socket of here.open()) socket.end(1006);
  assert.equal(here.session.state, 'reconnecting');
  await here.clock.pass(60_000);
  const tries = (here.sockets.length - before) / 3;
  assert.ok(tries > 5 && tries < 16, `${tries} tries in a minute`);
  assert.equal(here.session.state, 'reconnecting');
  here.isReachable = true;
  await here.clock.pass(10_000);
  here.open()[0].hooks.ready();
  assert.equal(here.session.state, 'attached');
});

test('the network is back: nobody waits for his turn', async () => {
  const here = await attached();
  here.isReachable = false;
  for (const socket of here.open()) socket.end(1006);
  await here.clock.pass(60_000);
  here.isReachable = true;
  const before = here.sockets.length;
  here.session.hurry();
  assert.equal(here.sockets.length, before + 3);
});

test('the gateway knows the session no more: the end, instead of trying for ever', async () => {
  const here = await attached();
  here.isReachable = false;
  for (const socket of here.open()) socket.end(1006);
  await here.clock.pass(30_000);
  here.isReachable = true;
  here.standing = null;
  await here.clock.pass(20_000);
  assert.deepEqual([here.session.state, here.last().kind], ['ended', 'lost']);
  await here.clock.pass(60_000);
  assert.ok(here.sockets.every(({ isOver, closedWith }) => isOver || closedWith));
});

test('a session that the gateway does not know yet: websockets may be slow, but not for ever', async () => {
  const here = world();
  here.isReachable = true;
  here.standing = null;
  const { openSocket } = here.env;
  here.env.openSocket = (url, protocols, handlers) => openSocket(url, protocols, { ...handlers, open() {} });
  here.session.attach('', 'a:b');
  await here.clock.pass(5_000);
  assert.equal(here.session.state, 'connecting');
  for (const socket of here.open()) socket.handlers.close(1006, '');
  await here.clock.pass(30_000);
  assert.deepEqual([here.session.state, here.last().kind], ['ended', 'lost']);
});

test('4000 and 4001 are final; what the gateway says is passed on', async () => {
  for (const [code, reason, kind, words] of [
    [4000, 'detached', 'detached', 'detached'],
    [4001, 'failed: too small', 'failed', 'too small'],
  ]) {
    const here = await attached();
    const before = here.sockets.length;
    here.open()[0].end(code, reason);
    assert.deepEqual([here.session.state, here.last().kind, here.last().words], ['ended', kind, words]);
    assert.ok(here.open().every(({ closedWith }) => closedWith[0] === 1000));
    await here.clock.pass(60_000);
    assert.equal(here.sockets.length, before);
  }
});

test('1000 from the gateway means not needed now: offered again soon, more rarely if that goes on', async () => {
  const here = await attached();
  here.told.length = 0;
  for (const socket of here.open()) socket.end(1000);
  await here.clock.pass(300);
  assert.equal(here.open().length, 3);
  assert.ok(
    here.told.every(({ state }) => state === 'attached'),
    'it was no loss',
  );
  const before = here.sockets.length;
  for (let time = 0; time < 60_000; time += 100) {
    for (const socket of here.open()) socket.end(1000);
    await here.clock.pass(100);
  }
  assert.ok(here.sockets.length - before < 120, `${here.sockets.length - before} offers in a minute`);
});

test('1000 for all, and none comes back: then it is a loss', async () => {
  const here = await attached();
  here.isReachable = false;
  for (const socket of here.open()) socket.end(1000);
  assert.equal(here.session.state, 'attached');
  await here.clock.pass(2000);
  assert.equal(here.session.state, 'reconnecting');
});

test('eject in a moment without websockets: the next one that opens says it', async () => {
  const here = await attached();
  for (const socket of here.open()) socket.end(1000);
  here.session.eject();
  await here.clock.pass(10);
  assert.equal(here.session.state, 'ejecting');
  const [messenger] = here.open();
  assert.deepEqual(messenger.closedWith, [1000, 'ejected']);
  messenger.end(1000);
  assert.deepEqual([here.session.state, here.last().kind], ['ended', 'ejected']);
});

test('eject: one websocket says 1000, the others serve until the gateway closes them', async () => {
  const here = await attached();
  here.session.eject();
  assert.equal(here.session.state, 'ejecting');
  const closed = here.open().filter(({ closedWith }) => closedWith);
  assert.deepEqual(
    closed.map(({ closedWith }) => closedWith[0]),
    [1000],
  );
  assert.equal(closed[0], here.sockets[2], 'the one that waits for work');
  const before = here.sockets.length;
  for (const socket of [...here.open()]) socket.end(socket.closedWith ? 1000 : 4000);
  assert.deepEqual([here.session.state, here.last().kind], ['ended', 'ejected']);
  await here.clock.pass(60_000);
  assert.equal(here.sockets.length, before);
});

test('eject: a gateway that begins with the end is waited for, one that goes on serving is not', async () => {
  for (const [state, isOver] of [
    ['ending', false],
    ['serving', true],
    ['ended', true],
  ]) {
    const here = await attached();
    here.session.eject();
    here.standing = { state };
    await here.clock.pass(5_000);
    assert.equal(here.session.state === 'ended', isOver, state);
    if (isOver) assert.ok(here.open().every(({ closedWith }) => closedWith[0] === 1000));
  }
});

test('eject: a gateway that does not answer is not waited for for ever', async () => {
  const here = await attached();
  here.session.eject();
  here.isReachable = false;
  await here.clock.pass(19_000);
  assert.equal(here.session.state, 'ejecting');
  await here.clock.pass(2_000);
  assert.deepEqual([here.session.state, here.last().kind], ['ended', 'ejected']);
  assert.ok(here.open().every(({ closedWith }) => closedWith[0] === 1000));
});

test('eject while out of reach says that the machine goes on waiting', async () => {
  const here = await attached();
  here.isReachable = false;
  for (const socket of here.open()) socket.end(1006);
  here.session.eject();
  assert.equal(here.session.state, 'ejecting');
  await here.clock.pass(7_000);
  assert.deepEqual([here.session.state, here.last().kind], ['ended', 'ejected-away']);
});

test('a client that takes its leave is told at once, and not with 1000: that would eject the image', async () => {
  const here = await attached();
  here.open()[0].hooks.end(null);
  assert.equal(here.sockets[0].closedWith[0], 4003);
  here.open()[1].hooks.end(new Error('wrong request magic'));
  assert.equal(here.sockets[1].closedWith[0], 4002);
  assert.equal(here.session.state, 'attached');
});

test('after a reload: no login, the same key, attached when the gateway asks again', async () => {
  const here = world();
  here.login = () => assert.fail('a token would be used up');
  here.session.resume(grant);
  await here.clock.pass(10);
  assert.equal(here.session.state, 'reconnecting');
  assert.deepEqual(here.sockets[0].protocols, ['nbd.session.KEY']);
  here.sockets[0].hooks.ready();
  assert.equal(here.session.state, 'attached');
});

test('the session failed while nothing was connected: the gateway is asked and tells', async () => {
  const here = await attached();
  here.standing = { state: 'ended', error: 'the start hook failed' };
  await here.clock.pass(6_000);
  assert.deepEqual(
    [here.session.state, here.last().kind, here.last().words],
    ['ended', 'failed', 'the start hook failed'],
  );
});
