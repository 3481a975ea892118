"""Listing of files: split folders, class folders, and what is left out."""
