// One transponder in the list: its state, and what can be done with it.

import {announce, byId, fromTemplate, setNotice, setState, setText, whileBusy} from './dom.js';
import {clearErrors, sentence, showErrors, showRefusal} from './fields.js';
import {bitrate, size} from './figures.js';
import {problem, soundText, transponderState} from './states.js';

export class Destination {
  #transponder;

  /** refresh(): ask the server at once. terminated(): this one is gone, the focus needs a place. */
  constructor(api, {refresh, terminated}) {
    Object.assign(this, {api, refresh, terminated});
    const {root, slots} = fromTemplate('destination-template');
    Object.assign(this, {root, slots});
    slots.mute.addEventListener('click', () => this.#toggleMute());
    slots['sound-button'].addEventListener('click', () => this.#soundPressed());
    slots.terminate.addEventListener('click', () => this.#terminate());
    slots['sound-cancel'].addEventListener('click', () => this.#closeSound());
    slots['sound-form'].addEventListener('keydown', event => event.key === 'Escape' && this.#closeSound());
    slots['sound-form'].addEventListener('submit', event => {
      event.preventDefault();
      this.#playSound(event.submitter);
    });
  }

  update(transponder) {
    const before = this.#transponder;
    this.#transponder = transponder;
    if (!before) this.#name(transponder.mediaSessionId);
    const {slots} = this;
    const state = transponderState(transponder.state);
    setState(slots.state, state);
    if (before && before.state !== transponder.state) announce(`${transponder.rtmpUrl}: ${state.label}.`);
    setText(slots.url, transponder.rtmpUrl || 'Unknown URL');
    setText(slots['sent-as'], transponder.streamName);
    slots['sent-as'].title = transponder.streamName;
    setText(slots.size, size(transponder.width, transponder.height));
    setText(slots.sound, soundText(transponder));
    setText(slots.reconnects, String(transponder.reconnects ?? 0));
    this.#showBitrate(transponder.bitrate);
    this.#showProblem(problem(transponder));
    this.#showActions(transponder);
  }

  /** Buttons say what they do; whom they do it to is their description. */
  #name(id) {
    this.slots.url.id = `url-${id}`;
    for (const button of this.root.querySelectorAll('button')) button.setAttribute('aria-describedby', `url-${id}`);
  }

  #showBitrate(value) {
    this.slots['bitrate-row'].hidden = typeof value !== 'number';
    if (typeof value === 'number') setText(this.slots.bitrate, bitrate(value));
  }

  #showProblem(found) {
    const node = this.slots.problem;
    node.hidden = !found;
    if (!found) return;
    node.dataset.tone = found.past ? 'off' : 'bad';
    setText(node, [found.text, found.detail && `(${found.detail})`].filter(Boolean).join(' '));
  }

  #showActions({muted, soundEnabled, state}) {
    setText(this.slots.mute, muted ? 'Unmute' : 'Mute');
    setText(this.slots['sound-button'], soundEnabled ? 'Stop sound' : 'Play sound');
    for (const button of [this.slots.mute, this.slots['sound-button'], this.slots.terminate]) {
      button.disabled = state === 'Terminating';
    }
  }

  // ---------------------------------------------------------------------------------------- actions

  #toggleMute() {
    const call = this.#transponder.muted ? 'unmute' : 'mute';
    return this.#act(this.slots.mute, call, {}, call === 'mute' ? 'Muted' : 'No longer muted');
  }

  #soundPressed() {
    if (this.#transponder.soundEnabled) return this.#act(this.slots['sound-button'], 'sound_off', {}, 'Live sound again');
    return this.slots['sound-form'].hidden ? this.#openSound() : this.#closeSound();
  }

  #openSound() {
    this.slots['sound-form'].hidden = false;
    this.slots['sound-button'].ariaExpanded = 'true';
    this.slots['sound-form'].elements.soundFile.focus();
  }

  #closeSound() {
    clearErrors(this.slots['sound-form']);
    this.slots['sound-form'].hidden = true;
    this.slots['sound-button'].ariaExpanded = 'false';
    this.slots['sound-button'].focus();
  }

  async #playSound(button) {
    const form = this.slots['sound-form'];
    const soundFile = form.elements.soundFile.value.trim();
    if (showErrors(form, soundFile ? {} : {soundFile: 'Enter the name of a WAV file.'})) return;
    const extra = {soundFile, loop: form.elements.loop.checked};
    if (!await this.#act(button, 'sound_on', extra, `Playing ${soundFile}`)) return;
    remember(soundFile);
    this.#closeSound();
  }

  async #terminate() {
    const {publishedName, streamName, rtmpUrl} = this.#transponder;
    if (!await confirmed(publishedName ?? streamName, rtmpUrl)) return;
    if (await this.#act(this.slots.terminate, 'terminate', {}, 'Terminated')) this.terminated();
  }

  /** True if it worked; otherwise the page says why. */
  async #act(button, call, extra, done) {
    let good = false;
    await whileBusy(button, async () => {
      setNotice(this.slots.notice);
      try {
        await this.api.push(call, {mediaSessionId: this.#transponder.mediaSessionId, ...extra});
        good = true;
        announce(`${this.#transponder.rtmpUrl}: ${done}.`);
        await this.refresh();
      } catch (error) {
        if (!showRefusal(this.slots['sound-form'], error)) setNotice(this.slots.notice, sentence(error.message));
      }
    });
    return good;
  }
}

function remember(soundFile) {
  const list = byId('known-sounds');
  if (![...list.options].some(option => option.value === soundFile)) list.append(new Option('', soundFile));
}

/** Asks before a destination is ended. */
function confirmed(stream, url) {
  const dialog = byId('terminate-dialog');
  byId('terminate-stream').textContent = stream;
  byId('terminate-url').textContent = url;
  byId('terminate-yes').onclick = () => dialog.close('yes');
  byId('terminate-no').onclick = () => dialog.close('no');
  dialog.returnValue = '';
  dialog.showModal();
  byId('terminate-no').focus();
  return new Promise(resolve => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), {once: true});
  });
}
