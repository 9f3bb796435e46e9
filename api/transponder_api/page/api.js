// The product's HTTP interface. Addresses are relative, so that the page works behind a proxy's path too.

const TOKEN = 'transponder-token';
const LIMIT = 20_000;

/** A call that did not succeed. status 0: the server could not be reached. field and rule are the server's words. */
export class ApiError extends Error {
  constructor(status, message, {field, rule} = {}) {
    super(message);
    Object.assign(this, {name: 'ApiError', status, field, rule: rule ?? message});
  }
}

export class Api {
  #noIceServers = false;

  /** onUnauthorized(refused): the server wants a token, or refused the one it was given. */
  constructor(onUnauthorized) {
    this.onUnauthorized = onUnauthorized;
  }

  set token(value) {
    sessionStorage.setItem(TOKEN, value);
  }

  /** The Response of a call that succeeded. Raises ApiError. */
  async request(method, path, {body, type, keepalive = false, timeout = LIMIT} = {}) {
    const token = sessionStorage.getItem(TOKEN);
    const headers = {...(type && {'Content-Type': type}), ...(token && {Authorization: `Bearer ${token}`})};
    const response = await this.#fetch(new URL(path, document.baseURI), {
      method, headers, body, keepalive, cache: 'no-store', credentials: 'omit', signal: AbortSignal.timeout(timeout),
    });
    if (response.ok) return response;
    if (response.status === 401) this.onUnauthorized(token !== null);
    throw await refusal(response);
  }

  /** The STUN and TURN servers to connect by. Their credentials do not last: they are asked for each time. */
  async iceServers() {
    if (this.#noIceServers) return [];
    const {iceServers} = await (await this.request('GET', 'ice-servers')).json();
    this.#noIceServers = iceServers.length === 0;
    return iceServers;
  }

  /** One of /rest-api/push/*: the parsed answer, or null where it is empty. */
  push(call, body) {
    return this.#json(`rest-api/push/${call}`, body);
  }

  /** All of a kind, `push` or `stream`: 404 means none. */
  async findAll(kind) {
    try {
      return await this.#json(`rest-api/${kind}/find_all`);
    } catch (error) {
      if (error.status === 404) return [];
      throw error;
    }
  }

  async #json(path, body) {
    const options = body && {body: JSON.stringify(body), type: 'application/json'};
    const text = await (await this.request('POST', path, options)).text();
    return text ? JSON.parse(text) : null;
  }

  async #fetch(url, options) {
    try {
      return await fetch(url, options);
    } catch {
      throw new ApiError(0, 'The server does not answer.');
    }
  }
}

async function refusal(response) {
  let body = {};
  try {
    body = await response.json();
  } catch {
    // a proxy's page, say
  }
  return new ApiError(response.status, body.message ?? `The server answered ${response.status}.`, body);
}
