"""Pretraining on generated brains, scored on real slices: python -m benchmarks pretraining (docs/RESULTS.md)."""
