// Small helpers around the DOM. Text from outside is only ever set as text.

export const byId = id => {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
};

/** A copy of a template's only element, and its parts by their data-slot. */
export function fromTemplate(id) {
  const root = byId(id).content.firstElementChild.cloneNode(true);
  const slots = Object.fromEntries([...root.querySelectorAll('[data-slot]')].map(node => [node.dataset.slot, node]));
  return {root, slots};
}

/** Touches the node only if the text is another one: else readers would be told again, and a selection be lost. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** A state in words, with the tone that colours it: ok, busy, warn, bad or off. */
export function setState(node, {label, tone}) {
  setText(node, label);
  node.dataset.tone = tone;
}

/** Shows `text` with an optional line of advice; nothing hides the notice. */
export function setNotice(node, text = '', advice = '', tone = 'bad') {
  if (node.dataset.text === text + advice) return;
  node.dataset.text = text + advice;
  node.dataset.tone = tone;
  node.hidden = !text;
  node.replaceChildren(...[text, advice].filter(Boolean).map(line => {
    const paragraph = document.createElement('p');
    paragraph.textContent = line;
    return paragraph;
  }));
}

/** The options of a datalist or a select: [value, label] each. Keeps what is selected if it is still there. */
export function setOptions(list, pairs) {
  const wanted = JSON.stringify(pairs);
  if (list.dataset.pairs === wanted) return;
  list.dataset.pairs = wanted;
  const selected = list.value;
  list.replaceChildren(...pairs.map(([value, label]) => new Option(label, value)));
  if (pairs.some(([value]) => value === selected)) list.value = selected;
}

let pending = [];

/** Says something to those who listen to the page. What comes within a moment is said together. */
export function announce(text) {
  pending.push(text);
  if (pending.length > 1) return;
  setTimeout(() => {
    byId('announcer').textContent = pending.join(' ');
    pending = [];
  }, 150);
}

/** Runs `work` with the button kept from a second press, but not from focus. */
export async function whileBusy(button, work) {
  if (button.ariaBusy === 'true') return;
  button.ariaBusy = 'true';
  button.ariaDisabled = 'true';
  try {
    await work();
  } finally {
    button.ariaBusy = null;
    button.ariaDisabled = null;
  }
}
