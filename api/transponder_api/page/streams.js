// The list of streams, each with its destinations and its preview.

import {Destination} from './destination.js';
import {byId, fromTemplate, setOptions, setState, setText} from './dom.js';
import {sentence} from './fields.js';
import {Meter, showFigures} from './figures.js';
import {Player} from './player.js';
import {groupByStream, streamText} from './states.js';

const SECOND = 1000;

/** Makes the children of `list` those of `items`, keeping the ones that stay: focus and open forms live there. */
function reconcile(list, known, items, {key, make}) {
  const keys = new Set(items.map(key));
  for (const [name, card] of known) {
    if (keys.has(name)) continue;
    card.close?.();
    card.root.remove();
    known.delete(name);
  }
  items.forEach((item, index) => {
    if (!known.has(key(item))) known.set(key(item), make(item));
    const card = known.get(key(item));
    if (list.children[index] !== card.root) list.insertBefore(card.root, list.children[index] ?? null);
    card.update(item);
  });
}

export class StreamList {
  #cards = new Map();

  /** onAdd(name): a destination is wanted for that stream. refresh(): ask the server at once. */
  constructor(api, {onAdd, refresh}) {
    Object.assign(this, {api, onAdd, refresh});
  }

  /** own: the name of the stream that this page publishes, or null. */
  update(streams, transponders, own) {
    const groups = groupByStream(streams, transponders, own);
    reconcile(byId('stream-list'), this.#cards, groups, {key: group => group.name, make: group => new StreamCard(this, group.name)});
    setOptions(byId('known-streams'), groups.map(({name}) => [name, '']));
    byId('empty').hidden = groups.length > 0;
    setText(byId('empty-title'), 'Nothing is being sent yet');
    setText(byId('empty-text'), 'Publish a stream, or add a destination: the stream is sent there as soon as it is published.');
    return groups;
  }

  /** Nothing can be said of streams: why. */
  unknown(title, text) {
    if (this.#cards.size > 0) return;  // what was last known is better than nothing; the bar says that it is old
    setText(byId('empty-title'), title);
    setText(byId('empty-text'), text);
  }
}

class StreamCard {
  #destinations = new Map();
  #player = null;
  #timer = null;
  #published = false;
  #ended = false;

  constructor(list, name) {
    Object.assign(this, {list, name});
    const {root, slots} = fromTemplate('stream-template');
    Object.assign(this, {root, slots});
    setText(slots.name, name);
    slots.video.setAttribute('aria-label', `Preview of ${name}`);
    slots.preview.setAttribute('aria-label', `Preview ${name}`);
    slots.add.setAttribute('aria-label', `Add one to ${name}`);
    slots.preview.addEventListener('click', () => (slots.player.hidden ? this.#open() : this.close()));
    slots.add.addEventListener('click', () => list.onAdd(name));
  }

  update({published, stream, transponders}) {
    const {slots, list} = this;
    if (published && !this.#published && this.#ended) this.#player?.start(this.name);  // its publisher has come back
    this.#published = published;
    setState(slots.state, published ? {label: 'Published', tone: 'ok'} : {label: 'Not published', tone: 'off'});
    setText(slots.detail, stream ? streamText(stream) : '');
    slots.preview.hidden = !published && slots.player.hidden;
    slots.none.hidden = transponders.length > 0;
    const wishes = {refresh: list.refresh, terminated: () => byId('streams').focus()};
    reconcile(slots.destinations, this.#destinations, transponders, {
      key: transponder => transponder.mediaSessionId, make: () => new Destination(list.api, wishes),
    });
  }

  // ---------------------------------------------------------------------------------------- preview

  #open() {
    const {slots} = this;
    slots.player.hidden = false;
    slots.preview.ariaExpanded = 'true';
    setText(slots.preview, 'Close');
    slots.preview.setAttribute('aria-label', `Close preview of ${this.name}`);
    this.#player = new Player(this.list.api, slots.video, (state, error) => this.#on(state, error));
    this.#player.start(this.name);
    const meter = new Meter();
    this.#timer = setInterval(() => this.#measure(meter), SECOND);
  }

  close() {
    const {slots} = this;
    clearInterval(this.#timer);
    this.#player?.stop();
    this.#player = null;
    slots.player.hidden = true;
    slots.preview.ariaExpanded = 'false';
    setText(slots.preview, 'Preview');
    slots.preview.setAttribute('aria-label', `Preview ${this.name}`);
  }

  #on(state, error) {
    const {slots} = this;
    this.#ended = state === 'ended';
    slots.note.hidden = state === 'playing';
    slots.video.hidden = state === 'ended';
    slots.figures.hidden = state === 'ended';
    if (state === 'connecting') setText(slots['note-title'], 'Waiting for the picture…');
    if (state === 'ended') setText(slots['note-title'], error ? sentence(explain(error)) : '');
  }

  async #measure(meter) {
    const connection = this.#player?.connection;
    if (connection?.connectionState === 'connected') showFigures(this.slots.figures, meter.add(await connection.getStats()));
  }
}

const REFUSALS = {
  404: 'This stream is not being published.',
  422: 'This browser cannot play what the stream has.',
  503: 'The stream cannot be played right now. Try again in a moment.',
};

const explain = error => REFUSALS[error.status] ?? error.message;
