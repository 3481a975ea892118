"""Which files there are: split folders, class folders, and what is left out."""
