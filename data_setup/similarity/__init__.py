"""Similarity of slices: alignment, nearest neighbours, copies."""
