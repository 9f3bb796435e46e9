// Asks for the access token of a server that wants one.

import {byId} from './dom.js';
import {clearErrors, showErrors} from './fields.js';

export class TokenDialog {
  #dialog = byId('token-dialog');
  #form = byId('token-form');
  #button = byId('token-button');

  /** No call is worth making before a token was given. */
  locked = false;

  constructor(onToken) {
    this.#button.addEventListener('click', () => this.#open());
    this.#form.addEventListener('submit', event => {
      event.preventDefault();
      const token = this.#form.elements.token.value.trim();
      if (showErrors(this.#form, tokenErrors(token))) return;
      this.#form.reset();
      this.locked = false;
      this.#button.hidden = true;
      this.#dialog.close();
      onToken(token);
    });
  }

  /** refused: the server was given one and does not take it. */
  ask(refused) {
    if (this.#dialog.open) return;
    this.locked = true;
    this.#button.hidden = false;  // for those who leave the dialog by Escape
    this.#open();
    if (refused) showErrors(this.#form, {token: 'The server does not take this token.'});
  }

  #open() {
    clearErrors(this.#form);
    this.#dialog.showModal();
  }
}

/** RFC 6750, section 2.1: what an Authorization header can hold. */
function tokenErrors(token) {
  if (!token) return {token: 'Enter the token.'};
  return /^[\x21-\x7e]+$/.test(token) ? {} : {token: 'A token has only ASCII characters, and no spaces.'};
}
