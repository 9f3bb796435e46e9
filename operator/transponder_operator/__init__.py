"""From objects to relays and back: pure `desired` and `observed`, and the `Reconciler` that joins them."""
