"""The sound of a relay: Opus or G.711 in, AAC out, silence where there is none, sound files in place of it.

SoundPacket ─ decoders ─ live.LiveLine ─┐  blocks of 1024 samples
WAV file ─ wav ─ clip.ClipReader ───────┴─ programmes (one AAC encoder each) ─ soundtrack.Soundtrack ─► AudioTag
"""
