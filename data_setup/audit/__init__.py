"""Audit of a data set: damage, copies, shortcuts, leakage."""
