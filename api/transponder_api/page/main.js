// Joins the parts of the page.

import {AddForm} from './add_form.js';
import {Api} from './api.js';
import {byId, setState} from './dom.js';
import {Poll} from './poll.js';
import {PublishPanel} from './publish_panel.js';
import {StreamList} from './streams.js';
import {TokenDialog} from './token_dialog.js';

const CONNECTED = {label: 'Connected', tone: 'ok'};
const UNREACHABLE = {label: 'No connection', tone: 'bad'};
const LOCKED = {label: 'Locked', tone: 'warn'};

const serverState = byId('server-state');
let first = true;

const tokenDialog = new TokenDialog(token => {
  api.token = token;
  poll.refresh();
});
const api = new Api(refused => {
  setState(serverState, LOCKED);
  tokenDialog.ask(refused);
});
const refresh = () => poll.refresh();
const panel = new PublishPanel(api, {onChange: () => refresh()});
const addForm = new AddForm(api, {onAdded: refresh, suggestName: () => panel.published ?? panel.name});
const list = new StreamList(api, {onAdd: name => addForm.open(name), refresh});
const poll = new Poll(look);

/** One round: true if the server answered. */
async function look(isCurrent) {
  if (tokenDialog.locked) return true;
  try {
    const [streams, transponders] = await Promise.all([api.findAll('stream'), api.findAll('push')]);
    if (isCurrent()) show(streams, transponders);
    return true;
  } catch (error) {
    if (isCurrent()) showFault(error);
    return false;
  }
}

function show(streams, transponders) {
  setState(serverState, CONNECTED);
  const groups = list.update(streams, transponders, panel.published);
  if (first && groups.length === 0) addForm.open(undefined, {focus: false});
  first = false;
}

function showFault(error) {
  if (error.status === 401) return list.unknown('Access token needed', 'Enter it to see the streams of this server.');
  setState(serverState, UNREACHABLE);
  list.unknown('The server does not answer', 'It is asked again by itself.');
}

poll.refresh();
