// Pure: what getStats says, as figures for people.

const NONE = '–';

/** A snapshot of a connection that sends or receives: counters to compare with the next one. */
export function snapshot(report) {
  const all = [...report.values()];
  const media = all.filter(each => each.type === 'outbound-rtp' || each.type === 'inbound-rtp');
  const video = media.find(each => each.kind === 'video');
  const remote = all.filter(each => each.type === 'remote-inbound-rtp');
  const received = media.filter(each => each.type === 'inbound-rtp');
  const sent = media.filter(each => each.type === 'outbound-rtp');
  return {
    at: media[0]?.timestamp,
    bytes: sum(media, each => (each.bytesSent ?? each.bytesReceived ?? 0) + (each.headerBytesSent ?? each.headerBytesReceived ?? 0)),
    packets: sum(sent, each => each.packetsSent) + sum(received, each => each.packetsReceived + each.packetsLost),
    lost: sum(remote, each => each.packetsLost) + sum(received, each => each.packetsLost),
    width: video?.frameWidth,
    height: video?.frameHeight,
    fps: video?.framesPerSecond,
    limit: video?.qualityLimitationReason,
    roundTrip: remote.find(each => each.roundTripTime !== undefined)?.roundTripTime,
    level: all.find(each => each.type === 'media-source' && each.kind === 'audio')?.audioLevel,
  };
}

/** Texts by the name of the figure; `before` is the snapshot of some seconds ago. */
export function figures(before, now) {
  const seconds = (now.at - before.at) / 1000;
  const packets = now.packets - before.packets;
  return {
    bitrate: seconds > 0 ? bitrate((now.bytes - before.bytes) * 8 / seconds) : NONE,
    size: size(now.width, now.height),
    fps: now.fps === undefined ? NONE : `${Math.round(now.fps)} fps`,
    loss: packets > 0 ? percent((now.lost - before.lost) / packets) : NONE,
    roundTrip: now.roundTrip === undefined ? NONE : `${Math.round(now.roundTrip * 1000)} ms`,
    level: now.level ?? 0,
  };
}

export function bitrate(bitsPerSecond) {
  if (bitsPerSecond >= 999_500) return `${(bitsPerSecond / 1e6).toFixed(1)} Mbit/s`;
  return `${Math.round(bitsPerSecond / 1000)} kbit/s`;
}

export const size = (width, height) => (width && height ? `${width} × ${height}` : NONE);

function percent(share) {
  const value = Math.min(Math.max(share, 0), 1) * 100;
  return `${value > 0 && value < 10 ? value.toFixed(1) : Math.round(value)} %`;
}

const sum = (items, value) => items.reduce((total, item) => total + (value(item) || 0), 0);

/** Keeps the snapshots of the last seconds, so that one quiet or busy second does not make the figures jump. */
export class Meter {
  #snapshots = [];

  static SPAN = 3;

  add(report) {
    this.#snapshots.push(snapshot(report));
    if (this.#snapshots.length > Meter.SPAN + 1) this.#snapshots.shift();
    return figures(this.#snapshots[0], this.#snapshots.at(-1));
  }

  get limit() {
    return this.#snapshots.at(-1)?.limit;
  }
}

/** Writes the texts into the [data-figure] nodes within `root`. */
export function showFigures(root, texts) {
  for (const node of root.querySelectorAll('[data-figure]')) {
    const value = texts?.[node.dataset.figure] ?? NONE;
    if (node instanceof HTMLMeterElement) node.value = Number(value) || 0;
    else if (node.textContent !== value) node.textContent = value;
  }
}
