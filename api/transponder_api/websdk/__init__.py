"""Flashphoner WebSDK's WebSocket signalling: sessions, publications and playbacks of browsers.

messages      pure: what the SDK sends and reads
limits        times and bounds of a session
outbox        what waits to be sent, bounded
services      what a session needs of the rest of the API
session       one WebSocket from its upgrade to the end of its streams
calls         what a client may call
publishing    one publishStream, from the offer to its last status
republishing  the transponder of a publishStream with rtmpUrl
playing       one playStream
app           the application that is served on the WebSDK's port
"""
