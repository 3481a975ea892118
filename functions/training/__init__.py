"""A run from its first step to its results: optimiser, schedule, model selection, console."""
