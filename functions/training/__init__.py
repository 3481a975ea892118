"""Training runs: optimiser, schedule, model selection, console output."""
