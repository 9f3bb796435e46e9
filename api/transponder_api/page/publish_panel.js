// The panel that publishes from the camera.

import {announce, byId, setNotice, setOptions, setState, setText} from './dom.js';
import {NO_DEVICE, capture, explain, listDevices, obstacle} from './devices.js';
import {clearErrors, sentence, showErrors, showRefusal} from './fields.js';
import {Meter, showFigures} from './figures.js';
import {Publisher} from './publisher.js';
import {streamNameError} from './startup.js';
import {PUBLISHER} from './states.js';

const SECOND = 1000;
const LIMITS = {
  cpu: 'This computer is too slow for the chosen picture: it is sent smaller or with fewer frames.',
  bandwidth: 'The network is too slow for the chosen picture: it is sent with less detail.',
};
const PATIENCE = 5;

export class PublishPanel {
  #form = byId('publish-form');
  #view = byId('camera-view');
  #notice = byId('publish-notice');
  #stream = null;
  #timer = null;
  #limited = 0;

  /** onChange(): publishing has begun or ended. */
  constructor(api, {onChange}) {
    this.onChange = onChange;
    this.publisher = new Publisher(api, (state, error) => this.#show(state, error));
    const problem = obstacle();
    if (problem) this.#disable(problem);
    else this.#listen();
  }

  /** The name of the stream that is being published here, or null. */
  get published() {
    return this.publisher.state === 'publishing' ? this.publisher.name : null;
  }

  get name() {
    return this.#form.elements.streamName.value.trim();
  }

  #listen() {
    this.#form.addEventListener('submit', event => {
      event.preventDefault();
      if (this.publisher.state === 'idle') this.#start();
      else this.#stop();
    });
    byId('camera-button').addEventListener('click', () => (this.#stream ? this.#turnOff() : this.#turnOn()));
    for (const id of ['camera', 'microphone', 'quality']) byId(id).addEventListener('change', () => this.#stream && this.#switch());
    navigator.mediaDevices.addEventListener('devicechange', () => this.#showDevices());
    window.addEventListener('pagehide', () => this.publisher.stop({leaving: true}));
    window.addEventListener('beforeunload', event => this.publisher.state !== 'idle' && event.preventDefault());
    this.#showDevices();
  }

  #disable({title, text}) {
    this.#note(title, text);
    for (const input of this.#form.elements) input.disabled = true;
  }

  // ---------------------------------------------------------------------------------------- camera

  async #showDevices() {
    const {cameras, microphones} = await listDevices();
    setOptions(byId('camera'), [...cameras, [NO_DEVICE, cameras.length ? 'No camera' : 'No camera found']]);
    setOptions(byId('microphone'), [...microphones, [NO_DEVICE, microphones.length ? 'No microphone' : 'No microphone found']]);
    const none = cameras.length + microphones.length === 0;
    byId('publish-button').disabled = byId('camera-button').disabled = none && !this.#stream;
    if (none && !this.#stream) this.#note('No camera or microphone found', 'Connect one; this page notices it by itself.');
    else if (!this.#stream && this.#noteTitle === 'No camera or microphone found') this.#noteOff();
  }

  get #choice() {
    return {camera: byId('camera').value, microphone: byId('microphone').value, height: Number(byId('quality').value)};
  }

  /** True if there is a picture or sound to send. */
  async #turnOn() {
    if (this.#choice.camera === NO_DEVICE && this.#choice.microphone === NO_DEVICE) {
      this.#note('Nothing to send', 'Choose a camera or a microphone.');
      return false;
    }
    this.#note('Waiting for the camera…', 'The browser may ask whether this page may use it.');
    try {
      this.#use(await capture(this.#choice));
    } catch (error) {
      const {title, text} = explain(error);
      this.#note(title, text);
      return false;
    }
    await this.#showDevices();
    this.#select();
    return true;
  }

  #use(stream) {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = stream;
    this.#view.srcObject = stream;
    for (const track of stream.getTracks()) track.addEventListener('ended', () => this.#lost(track));
    const seen = stream.getVideoTracks().length > 0;
    this.#view.hidden = !seen;
    if (seen) byId('camera-note').hidden = true;
    else this.#note('Sound only', 'No camera is chosen.');
    setText(byId('camera-button'), 'Turn off camera');
  }

  /** The lists show the devices that the browser has really given. */
  #select() {
    const [video] = this.#stream.getVideoTracks();
    const [audio] = this.#stream.getAudioTracks();
    if (video) byId('camera').value = video.getSettings().deviceId;
    if (audio) byId('microphone').value = audio.getSettings().deviceId;
  }

  async #switch() {
    const before = this.publisher.state;
    if (!await this.#turnOn() || before === 'idle') return;
    if (await this.publisher.replace(this.#stream)) return;
    await this.publisher.stop();  // sound or picture comes or goes: another session is needed
    await this.publisher.start(this.publisher.name, this.#stream);
  }

  #turnOff() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
    this.#view.srcObject = null;
    this.#noteOff();
    setText(byId('camera-button'), 'Turn on camera');
  }

  /** A device that was pulled out, or taken away in the browser's settings. */
  #lost(track) {
    if (!this.#stream?.getTracks().includes(track)) return;
    const what = track.kind === 'video' ? 'The camera' : 'The microphone';
    setNotice(this.#notice, `${what} is gone.`, 'Choose another one.');
  }

  get #noteTitle() {
    return byId('camera-note').querySelector('.stage-title').textContent;
  }

  #note(title, text) {
    const note = byId('camera-note');
    this.#view.hidden = true;
    note.hidden = false;
    setText(note.querySelector('.stage-title'), title);
    setText(note.querySelector('.stage-text'), text);
  }

  #noteOff() {
    this.#note('Camera is off', 'Turn it on to see the picture before you publish it.');
  }

  // ---------------------------------------------------------------------------------------- publishing

  async #start() {
    clearErrors(this.#form);
    setNotice(this.#notice);
    const wrong = streamNameError(this.name);
    if (showErrors(this.#form, wrong ? {streamName: wrong} : {})) return;
    if (!this.#stream && !await this.#turnOn()) return;
    await this.publisher.start(this.name, this.#stream);
  }

  async #stop() {
    await this.publisher.stop();
    this.#turnOff();
  }

  #show(state, error) {
    const active = state !== 'idle';
    setState(byId('publish-state'), PUBLISHER[state]);
    setText(byId('publish-button'), active ? 'Stop publishing' : 'Start publishing');
    byId('publish-button').classList.toggle('danger', active);
    byId('camera-button').hidden = active;
    this.#form.elements.streamName.readOnly = active;
    document.title = `${active ? `${PUBLISHER[state].label} ${this.publisher.name} – ` : ''}RTMP Transponder`;
    if (error) this.#refused(error);
    this.#measure(state === 'publishing');
    this.#keepAwake(active);
    this.onChange();
  }

  #refused(error) {
    if (error.status === 409) {
      showErrors(this.#form, {streamName: 'A stream of this name is being published. Choose another name.'});
    } else if (!showRefusal(this.#form, error)) {
      setNotice(this.#notice, sentence(error.message));
    }
  }

  #measure(publishing) {
    clearInterval(this.#timer);
    byId('publish-figures').hidden = !publishing;
    this.#limited = 0;
    if (!publishing) return;
    const meter = new Meter();
    showFigures(byId('publish-figures'), null);
    const look = async () => {
      const {connection} = this.publisher;
      if (!connection) return;
      showFigures(byId('publish-figures'), meter.add(await connection.getStats()));
      this.#showLimit(meter.limit);
    };
    look();
    this.#timer = setInterval(look, SECOND);
  }

  /** Only what lasts is worth a notice. */
  #showLimit(limit) {
    this.#limited = LIMITS[limit] ? this.#limited + 1 : 0;
    if (this.#limited >= PATIENCE) setNotice(this.#notice, LIMITS[limit], '', 'warn');
    else if (this.#notice.dataset.tone === 'warn') setNotice(this.#notice);
  }

  /** A phone that goes to sleep stops its camera. */
  async #keepAwake(active) {
    try {
      if (active && !this.wakeLock) this.wakeLock = await navigator.wakeLock?.request('screen');
      if (this.publisher.state !== 'idle') return;
      const lock = this.wakeLock;
      this.wakeLock = null;
      await lock?.release();
    } catch {
      // not allowed, as with a low battery
    }
  }
}
