"""Subjects → train, validation and test."""
