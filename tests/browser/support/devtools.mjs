// Chromium's DevTools protocol over the two pipes of --remote-debugging-pipe: messages are JSON and end with a zero
// byte. Nothing listens on a port, and the browser ends when we do.

export class DevTools {
  // input, output: the pipes as we see them.
  constructor(input, output) {
    this.output = output;
    this.waiting = new Map(); // id -> what its answer settles
    this.listeners = new Map(); // session -> function(method, parameters)
    this.nextId = 1;
    this.unread = [];
    input.on('data', (bytes) => this.receive(bytes));
    input.on('close', () => this.fail(new Error('Chromium has ended')));
    output.on('error', (error) => this.fail(error));
  }

  receive(bytes) {
    let begin = 0;
    for (let end; (end = bytes.indexOf(0, begin)) >= 0; begin = end + 1) {
      this.unread.push(bytes.subarray(begin, end));
      const message = JSON.parse(Buffer.concat(this.unread));
      this.unread = [];
      this.take(message);
    }
    if (begin < bytes.length) this.unread.push(bytes.subarray(begin));
  }

  take({ id, sessionId, method, params, result, error }) {
    if (method) {
      this.listeners.get(sessionId)?.(method, params);
      return;
    }
    const { command, resolve, reject } = this.waiting.get(id);
    this.waiting.delete(id);
    if (error) reject(new Error(`${command}: ${error.message} ${error.data ?? ''}`));
    else resolve(result);
  }

  fail(error) {
    this.failure = error;
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
  }

  send(command, parameters = {}, sessionId = undefined) {
    if (this.failure) return Promise.reject(this.failure);
    return new Promise((resolve, reject) => {
      const id = this.nextId++;
      this.waiting.set(id, { command, resolve, reject });
      this.output.write(`${JSON.stringify({ id, sessionId, method: command, params: parameters })}\0`);
    });
  }
}
