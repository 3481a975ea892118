"""What is wrong with a data set: damage, copies, shortcuts, leakage."""
