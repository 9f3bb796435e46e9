"""One stream: its WebRTC ingest, its sound, and the RTMP outputs of all its transponders."""
