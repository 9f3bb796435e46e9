#!/bin/sh
# startup.sh ADDRESS STREAM RTMP_URL: a transponder for the stream; back once its relay waits for the publisher.
set -eu
api=http://$1:8081/rest-api/push
post() { curl --silent --fail --noproxy '*' -H 'Content-Type: application/json' -d "$2" "$api/$1"; }
post startup "{\"streamName\": \"$2\", \"rtmpUrl\": \"$3\", \"rtmpTransponderFullUrl\": true}" >/dev/null
tries=0
until post find "{\"rtmpUrl\": \"$3\"}" | grep -q WaitingForPublisher; do
    tries=$((tries + 1))
    [ $tries -lt 50 ] || { echo "no relay for $2 after 5 s" >&2; exit 1; }
    sleep 0.1
done
