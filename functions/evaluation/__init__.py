"""Scores of predictions with confidence intervals over patients."""
