"""Runs on disk: their folder and record, checkpoints, and which of them are kept."""
