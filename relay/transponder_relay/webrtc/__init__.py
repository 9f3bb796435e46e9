"""What both directions of WebRTC have in common: SDP, ICE, DTLS, SRTP, RTP and RTCP."""
