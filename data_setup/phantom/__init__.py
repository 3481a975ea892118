"""The built-in data set: generated brain slices whose true answer is known."""
