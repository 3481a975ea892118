"""What a clinical reader asks of the probability of disease: thresholds, predictive values, calibration, benefit."""
