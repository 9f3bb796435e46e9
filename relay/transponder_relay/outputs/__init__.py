"""RTMP destinations: FLV bodies, the RTMP session, and one `Output` a destination."""
