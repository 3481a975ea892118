"""Scores of predictions, with intervals over patients."""
