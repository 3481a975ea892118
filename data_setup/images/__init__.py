"""One file → one array of the model's size."""
