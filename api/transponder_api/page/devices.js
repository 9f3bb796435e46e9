// Cameras and microphones, and why one cannot be had.

export const NO_DEVICE = 'none';
const FRAME_RATE = 30;

/** May this page use a camera at all? If not, why: {title, text}. */
export function obstacle() {
  if (!window.isSecureContext || !navigator.mediaDevices?.getUserMedia) {
    return {
      title: 'Camera needs HTTPS',
      text: 'Browsers give the camera only to pages loaded by HTTPS, or from this computer (http://localhost). '
        + 'Destinations below can be used as they are.',
    };
  }
  if (!window.RTCPeerConnection) return {title: 'No WebRTC', text: 'This browser cannot publish by WebRTC.'};
  return null;
}

/** {cameras, microphones}: [deviceId, label] each. Names are known only once the browser was allowed to use them. */
export async function listDevices() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  const named = (kind, word) => devices
    .filter(device => device.kind === kind)
    .map((device, index) => [device.deviceId, device.label || (index ? `${word} ${index + 1}` : `Default ${word.toLowerCase()}`)]);
  return {cameras: named('videoinput', 'Camera'), microphones: named('audioinput', 'Microphone')};
}

/** A MediaStream of what was chosen. Raises what getUserMedia raises. */
export function capture({camera, microphone, height}) {
  const exact = id => (id ? {deviceId: {exact: id}} : {});
  const video = camera !== NO_DEVICE && {
    ...exact(camera), height: {ideal: height}, width: {ideal: Math.round(height * 16 / 9 / 2) * 2}, frameRate: {ideal: FRAME_RATE},
  };
  return navigator.mediaDevices.getUserMedia({video, audio: microphone !== NO_DEVICE && exact(microphone)});
}

const REASONS = {
  NotAllowedError: ['Camera not allowed', 'Allow camera and microphone for this page in the address bar of the browser, then try again.'],
  NotFoundError: ['No camera or microphone found', 'Connect one, or choose to publish without it.'],
  OverconstrainedError: ['This device is gone', 'Choose another camera or microphone.'],
  NotReadableError: ['Camera is in use', 'Close the program that uses the camera or microphone, then try again.'],
  SecurityError: ['Camera is switched off here', 'The browser or its administrator does not let this page use the camera.'],
};

/** {title, text} for what getUserMedia raised. */
export function explain(error) {
  const [title, text] = REASONS[error.name] ?? ['The camera cannot be used', error.message];
  return {title, text};
}
