"""Text to a corpus: cleaned documents, their sentences, their tokens in shards."""
