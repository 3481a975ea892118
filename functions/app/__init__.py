"""The local page: uploaded slices of one patient in, their prediction with its caveats out."""
