"""What the programs share: the custom resources, the store that keeps them, the relay's control messages."""
