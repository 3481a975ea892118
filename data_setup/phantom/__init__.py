"""The built-in data set: generated brain slices with known labels and known best scores."""
