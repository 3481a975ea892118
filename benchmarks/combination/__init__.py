"""Scores of three independent kinds and their sum, on the folds of `benchmarks.transfer`."""
