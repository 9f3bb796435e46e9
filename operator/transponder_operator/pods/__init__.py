"""Relays as pods of Kubernetes: pure parts, and `host.PodRelays` that joins them."""
