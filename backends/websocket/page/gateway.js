// What the page says to the gateway over HTTP, and what the answers mean. The token goes in a header, never in a URL:
// URLs end up in logs and histories.

// Why an attempt failed. kind: 'denied' 'taken' 'refused' 'failed' are answers; 'unreachable' may pass by itself.
export class GatewayError extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

const answerWait = 15_000; // ms

export class Gateway {
  #base;
  #fetch;

  // base: the page's own URL.
  constructor(base, fetchFunction) {
    this.#base = base;
    this.#fetch = fetchFunction;
  }

  // What the gateway grants: {configuration, path, read_only, connections, size_min, size_max, session, next_token,
  // …}.
  async login(configuration, token) {
    const url = new URL('api/login', this.#base);
    if (configuration) url.searchParams.set('configuration', configuration);
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    const response = await this.#ask(url, { method: 'POST', headers });
    if (response.ok) return this.#json(response);
    throw await this.#refusal(response);
  }

  // How the session stands; null: the gateway knows it no more.
  async session(key) {
    const response = await this.#ask(new URL('api/session', this.#base), {
      headers: { Authorization: `Bearer-Session ${key}` },
    });
    if (response.status === 404 || response.status === 401 || response.status === 403) return null;
    if (!response.ok) throw await this.#refusal(response);
    return this.#json(response);
  }

  // image: the identity; connections: how many websockets of ours there may be at once.
  socketUrl(path, image, connections) {
    const url = new URL(path, this.#base);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    url.searchParams.set('image', image);
    url.searchParams.set('connections', String(connections));
    return url.href;
  }

  async #ask(url, options) {
    try {
      return await this.#fetch(url.href, { cache: 'no-store', signal: AbortSignal.timeout(answerWait), ...options });
    } catch {
      throw new GatewayError('unreachable', 'The gateway does not answer.');
    }
  }

  async #json(response) {
    try {
      return await response.json();
    } catch {
      throw new GatewayError('failed', 'The gateway answered something that this page does not understand.');
    }
  }

  async #refusal(response) {
    const told = await response.json().then(
      (answer) => answer.error,
      () => '',
    );
    const words = typeof told === 'string' ? told : '';
    if (response.status === 401 || response.status === 403) return new GatewayError('denied', words);
    if (response.status === 409) return new GatewayError('taken', words);
    if (response.status >= 500) return new GatewayError('failed', words || `status ${response.status}`);
    return new GatewayError('refused', words || `status ${response.status}`);
  }
}
