"""JavaScript for a page that may reach its peers by nothing but TURN, and for what it then went by."""

RELAY_ONLY = """
window.connections = [];
window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(configuration) {
    super({...configuration, iceTransportPolicy: 'relay'});
    window.connections.push(this);
  }
};"""

PATHS = """async () => {
  const used = [];
  for (const connection of connections) {
    const stats = await connection.getStats();
    for (const transport of stats.values())
      if (transport.type === 'transport' && transport.selectedCandidatePairId) {
        const pair = stats.get(transport.selectedCandidatePairId);  // others may have been nominated before it
        used.push([stats.get(pair.localCandidateId).candidateType, stats.get(pair.localCandidateId).url]);
      }
  }
  return used;
}"""
"""Type and server of the local candidate of each connection."""
