"""Reading and resizing: one file → one array of the model's size."""
