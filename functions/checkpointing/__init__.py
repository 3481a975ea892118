"""Runs on disk: their folder and record, checkpoints and their retention."""
