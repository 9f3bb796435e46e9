// Errors of form fields: beside the field, tied to it, and the first one gets the focus.

let counter = 0;

export function clearErrors(form) {
  for (const input of form.querySelectorAll('[aria-invalid]')) {
    input.removeAttribute('aria-invalid');
    describe(input, input.dataset.hint);
  }
  for (const node of form.querySelectorAll('.field-error')) node.remove();
}

/** errors: {name of an input: text}. True if there were any. */
export function showErrors(form, errors) {
  clearErrors(form);
  for (const [name, text] of Object.entries(errors)) showError(form.elements[name], text);
  const first = form.querySelector('[aria-invalid]');
  first?.focus();
  return first !== null;
}

function showError(input, text) {
  const node = document.createElement('p');
  node.className = 'field-error';
  node.id = `field-error-${++counter}`;
  node.textContent = text;
  (input.closest('.joined') ?? input.closest('.field > label') ?? input).after(node);
  input.dataset.hint ??= input.getAttribute('aria-describedby') ?? '';
  input.setAttribute('aria-invalid', 'true');
  describe(input, `${node.id} ${input.dataset.hint}`.trim());
}

function describe(input, ids) {
  if (ids) input.setAttribute('aria-describedby', ids);
  else input.removeAttribute('aria-describedby');
}

/** Puts a refusal of the server beside the field that it names. False if it names none that is seen. */
export function showRefusal(form, error) {
  const input = form.elements[error.field?.split('.').at(-1)];
  if (!input || input.closest('[hidden]')) return false;
  return showErrors(form, {[input.name]: sentence(error.rule)});
}

export const sentence = text => {
  const upper = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(upper) ? upper : `${upper}.`;
};
