// Pure: from the fields of the form to the body of a startup call.

const URL_RULE = /^rtmps?:\/\/[^\s/]+/i;

/** {name of a field: what is wrong with it}. */
export function startupErrors({streamName, rtmpUrl, key, action, soundFile}) {
  const errors = {};
  const nameError = streamNameError(streamName);
  if (nameError) errors.streamName = nameError;
  if (!rtmpUrl) errors.rtmpUrl = 'Enter the URL of the RTMP server.';
  else if (/\s/.test(rtmpUrl)) errors.rtmpUrl = 'A URL has no spaces.';
  else if (!URL_RULE.test(rtmpUrl)) errors.rtmpUrl = 'The URL must begin with rtmp:// or rtmps:// and a host.';
  else if (key && rtmpUrl.includes('?')) errors.rtmpUrl = 'With a stream key the URL must not have a query.';
  else if (key && !hasApplication(rtmpUrl)) errors.rtmpUrl = 'With a stream key the URL needs an application, as in rtmp://host/live';
  if (/\s/.test(key)) errors.key = 'A stream key has no spaces.';
  if (action === 'sound_on' && !soundFile) errors.soundFile = 'Enter the name of a WAV file.';
  return errors;
}

export function streamNameError(name) {
  if (!name) return 'Enter a stream name.';
  return /\s/.test(name) ? 'A stream name has no spaces.' : null;
}

const hasApplication = url => /^\w+:\/\/[^/]+\/+[^/]/.test(url);

/** `key` given apart is joined to the URL, and becomes the name on the RTMP side. */
export function startupBody({streamName, rtmpUrl, key, endsWithKey, action, soundFile, loop}) {
  const options = action === 'sound_on' ? {action, soundFile, loop} : {action};
  return {
    streamName,
    rtmpUrl: key ? `${rtmpUrl.replace(/\/+$/, '')}/${key}` : rtmpUrl,
    ...((key || endsWithKey) && {rtmpTransponderFullUrl: true}),
    ...(action && {options}),
  };
}
