// One WebRTC session by HTTP: WHIP (RFC 9725) to publish, and its mirror image WHEP to play.

const SDP = 'application/sdp';
const CLOSE_LIMIT = 1500;
const PATIENCE = 5000;  // a short gap heals by itself

export class Session {
  #api;
  #closed = false;
  #location = null;
  #timer = null;

  /** onState: 'connected', 'lost' (the network is gone), 'ended' (the other side has closed). */
  constructor(api, onState) {
    this.#api = api;
    this.onState = onState;
    this.connection = null;  // it is made when the server has said by which STUN and TURN servers
  }

  /** Offers what `fill(connection)` adds; it may take its time. Raises ApiError. The server learns candidates by itself: no gathering. */
  async open(path, fill) {
    const iceServers = await this.#api.iceServers();
    if (this.#closed) return;
    this.connection = new RTCPeerConnection({iceServers});
    this.connection.addEventListener('connectionstatechange', () => this.#changed());
    await fill(this.connection);
    await this.connection.setLocalDescription();
    const options = {body: this.connection.localDescription.sdp, type: SDP};
    const response = await this.#api.request('POST', path, options);
    this.#location = new URL(response.headers.get('Location'), response.url);
    if (this.connection.signalingState === 'closed') return this.#delete();  // ended while the answer was on its way
    await this.connection.setRemoteDescription({type: 'answer', sdp: await response.text()});
    this.#watchTransport();
  }

  /** Closes both sides; the server is told first, or it would find the session gone. With `leaving`, the page ends now. */
  async close({leaving = false} = {}) {
    this.onState = () => {};
    this.#closed = true;
    clearTimeout(this.#timer);
    const deleted = this.#delete(leaving);
    if (!leaving) await Promise.race([deleted, new Promise(resolve => setTimeout(resolve, CLOSE_LIMIT))]);
    this.connection?.close();
  }

  async #delete(keepalive = false) {
    const location = this.#location;
    this.#location = null;
    try {
      if (location) await this.#api.request('DELETE', location, {keepalive, timeout: 5000});
    } catch {
      // it is gone already, or the server is
    }
  }

  #changed() {
    const state = this.connection.connectionState;
    clearTimeout(this.#timer);
    if (state === 'connected') this.onState('connected');
    if (state === 'failed') this.onState('lost');
    if (state === 'disconnected') this.#timer = setTimeout(() => this.onState('lost'), PATIENCE);
  }

  /** A peer that closes in order says so by DTLS, long before ICE finds out. */
  #watchTransport() {
    const [{sender, receiver}] = this.connection.getTransceivers();
    const transport = sender.transport ?? receiver.transport;
    transport?.addEventListener('statechange', () => {
      if (transport.state !== 'closed') return;
      this.#location = null;  // nothing is left there to delete
      this.onState('ended');
    });
  }
}
