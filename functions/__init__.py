"""Training, evaluation, checkpoints and reports, independent of the file layout of the data."""
