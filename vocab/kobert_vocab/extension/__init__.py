"""Pieces added to an existing Hugging Face vocabulary, and where their embeddings begin."""
