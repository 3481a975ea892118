"""Which slices resemble each other: alignment, nearest neighbours, copies."""
