// Plays a published stream by WHEP into a <video>.

import {Session} from './session.js';

export class Player {
  #api;
  #session = null;

  /** onState(state, error): 'connecting', 'playing', 'ended'. */
  constructor(api, video, onState) {
    this.#api = api;
    this.video = video;
    this.onState = onState;
  }

  get connection() {
    return this.#session?.connection;
  }

  async start(name) {
    const session = new Session(this.#api, state => this.#session === session && this.#on(state));
    this.#session = session;
    this.onState('connecting');
    const stream = new MediaStream();
    this.video.srcObject = stream;
    this.video.onplaying = () => this.#session === session && this.onState('playing');
    try {
      await session.open(`whep/${encodeURIComponent(name)}`, connection => {
        for (const kind of ['video', 'audio']) connection.addTransceiver(kind, {direction: 'recvonly'});
        connection.addEventListener('track', event => stream.addTrack(event.track));
      });
    } catch (error) {
      if (this.#session === session) await this.stop(error);
    }
  }

  /** Also when it never began. */
  async stop(error = null) {
    const session = this.#session;
    this.#session = null;
    this.video.srcObject = null;
    this.onState('ended', error);
    await session?.close();
  }

  #on(state) {
    if (state === 'ended') this.stop({message: 'The stream has ended.'});
    if (state === 'lost') this.stop({message: 'The connection was lost.'});
  }
}
