"""Volumes (NIfTI, Analyze, DICOM) to slices in class folders: what `tools/prepare_data.py` is made of."""
