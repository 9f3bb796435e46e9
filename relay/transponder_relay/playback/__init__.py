"""The relay plays its stream to browsers: H.264 and sound as received, over WebRTC."""
