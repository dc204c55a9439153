"""Token shards to batches that are a pure function of (seed, step)."""
