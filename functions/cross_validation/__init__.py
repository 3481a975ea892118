"""Repeated cross-validation over patients: out-of-fold predictions, their scores, their report."""
