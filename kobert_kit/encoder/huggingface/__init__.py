"""Model folders of `transformers`: what each architecture calls its settings and tensors."""
