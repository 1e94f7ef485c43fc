"""The classifier: encoder, windows, heads, low-rank adapter, and its training."""
