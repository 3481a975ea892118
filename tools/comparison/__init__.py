"""What tools/compare.py fits: every method as a function of training and test slices."""
