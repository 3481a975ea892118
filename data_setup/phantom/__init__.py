"""The built-in data set: generated brain slices with a known ground truth."""
