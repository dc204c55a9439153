"""Text to token shards, and token shards to batches that are a pure function of (seed, step)."""
