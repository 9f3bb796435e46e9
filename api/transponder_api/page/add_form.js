// The form that adds a destination.

import {announce, byId, setNotice, whileBusy} from './dom.js';
import {clearErrors, sentence, showErrors, showRefusal} from './fields.js';
import {startupBody, startupErrors} from './startup.js';

export class AddForm {
  #form = byId('add-form');
  #button = byId('add-button');
  #notice = byId('add-notice');

  /** onAdded: to look at once. suggestName(): the stream that is most likely meant. */
  constructor(api, {onAdded, suggestName}) {
    Object.assign(this, {api, onAdded, suggestName});
    this.#button.addEventListener('click', () => (this.#form.hidden ? this.open() : this.close()));
    byId('add-cancel').addEventListener('click', () => this.close());
    byId('add-key-show').addEventListener('click', event => this.#showKey(event.currentTarget.ariaPressed !== 'true'));
    this.#form.addEventListener('keydown', event => event.key === 'Escape' && this.close());
    this.#form.addEventListener('input', () => this.#adapt());
    this.#form.addEventListener('submit', event => {
      event.preventDefault();
      whileBusy(event.submitter ?? this.#form, () => this.#submit());
    });
  }

  open(name = this.suggestName(), {focus = true} = {}) {
    if (name) this.#form.elements.streamName.value = name;
    this.#form.hidden = false;
    this.#button.ariaExpanded = 'true';
    this.#adapt();
    const {streamName, rtmpUrl} = this.#form.elements;
    if (focus) (streamName.value ? rtmpUrl : streamName).focus();
  }

  close() {
    this.#form.reset();
    this.#showKey(false);
    clearErrors(this.#form);
    setNotice(this.#notice);
    this.#form.hidden = true;
    this.#button.ariaExpanded = 'false';
    this.#button.focus();
  }

  /** Fields that have no meaning with the others as they are, are not shown. */
  #adapt() {
    const {action, key, endsWithKey} = this.#form.elements;
    byId('add-sound-file').hidden = action.value !== 'sound_on';
    endsWithKey.closest('label').hidden = key.value !== '';
  }

  #showKey(shown) {
    byId('add-key').type = shown ? 'text' : 'password';
    const button = byId('add-key-show');
    button.ariaPressed = String(shown);
    button.textContent = shown ? 'Hide' : 'Show';
  }

  get #values() {
    const {streamName, rtmpUrl, key, endsWithKey, action, soundFile, loop} = this.#form.elements;
    return {
      streamName: streamName.value.trim(), rtmpUrl: rtmpUrl.value.trim(), key: key.value.trim(), action: action.value,
      soundFile: soundFile.value.trim(), endsWithKey: endsWithKey.checked, loop: loop.checked,
    };
  }

  async #submit() {
    setNotice(this.#notice);
    const values = this.#values;
    if (showErrors(this.#form, startupErrors(values))) return;
    try {
      const added = await this.api.push('startup', startupBody(values));
      this.close();
      announce(`Added ${added.rtmpUrl} to ${values.streamName}.`);
      await this.onAdded();
    } catch (error) {
      this.#refused(error);
    }
  }

  #refused(error) {
    if (error.status === 409) setNotice(this.#notice, 'This stream is sent there already.', 'Terminate that destination first, or give another URL.');
    else if (!showRefusal(this.#form, error)) setNotice(this.#notice, sentence(error.message));
  }
}
