#!/bin/sh
# serve.sh PYTHON FOLDER ADDRESS: the product with an empty data folder, as one process tree.
set -eu
rm -rf "$2"
mkdir -p "$2"
exec "$1" -m transponder_local local --data "$2" --host "$3" --http-port 8081 --media-address "$3"
