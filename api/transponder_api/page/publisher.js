// Publishes a MediaStream by WHIP, and goes on by itself after the network was away.

import {Session} from './session.js';

const FIRST_WAIT = 1000;
const LONGEST_WAIT = 8000;
const CONNECT_LIMIT = 15_000;
const SETTLED = 1000;  // by then a connection has its first bitrate

export class Publisher {
  #api;
  #session = null;
  #timer = null;
  #wait = FIRST_WAIT;

  /** onState(state, error): 'idle', 'connecting', 'publishing', 'reconnecting'. */
  constructor(api, onState) {
    this.#api = api;
    this.onState = onState;
    this.state = 'idle';
    this.name = null;
  }

  get connection() {
    return this.#session?.connection;
  }

  async start(name, stream) {
    Object.assign(this, {name, stream});
    this.#wait = FIRST_WAIT;
    this.#become('connecting');
    await this.#connect();
  }

  async stop({leaving = false, error = null} = {}) {
    clearTimeout(this.#timer);
    const session = this.#session;
    this.#session = null;
    this.#become('idle', error);
    await session?.close({leaving});
  }

  /** Sends the tracks of another MediaStream from now on; false if the kinds of tracks differ. */
  async replace(stream) {
    const senders = this.connection?.getSenders() ?? [];
    const kinds = tracks => tracks.map(track => track.kind).sort().join();
    if (kinds(senders.map(sender => sender.track).filter(Boolean)) !== kinds(stream.getTracks())) return false;
    for (const track of stream.getTracks()) await senders.find(sender => sender.track?.kind === track.kind).replaceTrack(track);
    this.stream = stream;
    return true;
  }

  async #connect() {
    const session = new Session(this.#api, state => this.#session === session && this.#on(state));
    this.#session = session;
    this.#timer = setTimeout(() => this.#session === session && this.#on('lost'), CONNECT_LIMIT);
    try {
      await session.open(`whip/${encodeURIComponent(this.name)}`, connection => {
        for (const track of this.stream.getTracks()) {
          connection.addTransceiver(track, {direction: 'sendonly', streams: [this.stream]});
        }
        return prefer(connection, 'maintain-resolution');
      });
    } catch (error) {
      if (this.#session === session) await this.#failed(error);
    }
  }

  #on(state) {
    clearTimeout(this.#timer);
    if (state === 'connected') {
      this.#wait = FIRST_WAIT;
      const {connection} = this;
      setTimeout(() => prefer(connection, 'maintain-framerate'), SETTLED);
      return this.#become('publishing');
    }
    if (state === 'ended') return this.stop({error: {message: 'The server has ended this stream.'}});
    return this.#again();
  }

  /** The first attempt fails for good; later ones only where trying again cannot help. */
  async #failed(error) {
    clearTimeout(this.#timer);
    const hopeless = [400, 401, 415, 422].includes(error.status);
    if (this.state === 'reconnecting' && !hopeless) await this.#again();
    else await this.stop({error});
  }

  async #again() {
    const session = this.#session;
    this.#session = null;
    this.#become('reconnecting');
    await session?.close();
    if (this.state !== 'reconnecting') return;
    this.#timer = setTimeout(() => this.#connect(), this.#wait);
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT);
  }

  #become(state, error = null) {
    this.state = state;
    this.onState(state, error);
  }
}

/**
 * What gives way first when there is too little of bandwidth or time. Until the connection has a bitrate Chromium takes it
 * for 300 kbit/s, and makes the picture smaller for several seconds: so its size is kept meanwhile.
 */
async function prefer(connection, what) {
  for (const sender of connection.getSenders()) {
    if (sender.track?.kind !== 'video') continue;
    try {
      await sender.setParameters({...sender.getParameters(), degradationPreference: what});
    } catch {
      // closed, or a browser that does not take it: it goes on as it would
    }
  }
}
