"""Predictions for new images: probabilities, out-of-distribution flags, and their tables."""
