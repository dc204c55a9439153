"""Pretraining: configuration, optimiser, the loop, evaluation, the report."""
