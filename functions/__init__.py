"""What is done with a model and batches. Knows no file layout of data."""
