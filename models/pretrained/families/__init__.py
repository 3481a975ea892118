"""Families of networks near the plain Vision Transformer: rewritten to one exactly, or refused by name."""
