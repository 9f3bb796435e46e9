"""One machine, one command: API, reconcile loop and relays, with a SQLite file as the store."""
