// Pure: what the server says of streams and transponders, as people read it.

import {size} from './figures.js';

const TRANSPONDER = {
  Pending: {label: 'Starting', tone: 'busy'},
  WaitingForPublisher: {label: 'Waiting for publisher', tone: 'off'},
  Connecting: {label: 'Connecting', tone: 'busy'},
  Live: {label: 'Live', tone: 'ok'},
  Reconnecting: {label: 'Reconnecting', tone: 'warn'},
  Failed: {label: 'Failed', tone: 'bad'},
  Terminating: {label: 'Ending', tone: 'off'},
};

export const transponderState = state => TRANSPONDER[state] ?? {label: state, tone: 'off'};

export const PUBLISHER = {
  idle: {label: 'Not publishing', tone: 'off'},
  connecting: {label: 'Connecting', tone: 'busy'},
  publishing: {label: 'Publishing', tone: 'ok'},
  reconnecting: {label: 'Reconnecting', tone: 'warn'},
};

const REASONS = {
  Unreachable: 'The server cannot be reached.',
  Refused: 'The server refuses the application or the options of this connection.',
  BadStreamKey: 'The server refuses the stream name or key.',
  AuthFailed: 'User or password are wrong, or missing.',
  TlsInvalid: 'The certificate of the server is not valid.',
  Timeout: 'The server does not answer in time.',
  ClosedByServer: 'The server closed the connection.',
  ProtocolError: 'What the server sends is not RTMP.',
};

const TROUBLED = new Set(['Connecting', 'Reconnecting', 'Failed']);

/** {text, detail, past} of a transponder's lastError (`Reason: detail`), or null. */
export function problem({lastError, state}) {
  if (!lastError) return null;
  const [, reason, detail] = /^(\w+)(?:: (.*))?$/s.exec(lastError) ?? [null, null, lastError];
  const text = REASONS[reason];
  if (!TROUBLED.has(state)) return {text: `Earlier: ${text ?? lastError}`, detail: '', past: true};
  return text ? {text, detail: detail ?? '', past: false} : {text: lastError, detail: '', past: false};
}

export function soundText({muted, soundEnabled}) {
  if (muted) return soundEnabled ? 'Muted (sound file)' : 'Muted';
  return soundEnabled ? 'Sound file' : 'Live sound';
}

/** The streams to show: those that are published and those that transponders are for; by name. */
export function groupByStream(streams, transponders, own) {
  const groups = new Map();
  const group = name => {
    if (!groups.has(name)) groups.set(name, {name, published: false, stream: null, transponders: []});
    return groups.get(name);
  };
  for (const stream of streams) Object.assign(group(stream.name), {published: stream.status === 'PUBLISHING', stream});
  if (own) group(own).published = true;  // the server's list is a moment older
  for (const transponder of transponders) {
    group(transponder.publishedName).transponders.push(transponder);
  }
  return [...groups.values()].sort((a, b) => a.name.localeCompare(b.name));
}

const SOURCES = {whip: 'WHIP', websdk: 'WebSDK'};
const CODECS = {opus: 'Opus'};

/** What is known of a published stream, in one line. */
export function streamText({source, videoCodec, audioCodec, width, height}) {
  const codec = name => name && (CODECS[name] ?? name);
  const parts = [SOURCES[source] ?? source, codec(videoCodec), codec(audioCodec), width > 0 && size(width, height)];
  return parts.filter(Boolean).join(' · ');
}
