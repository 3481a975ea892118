"""Following a run while it trains: its numbers for TensorBoard and Weights & Biases, a profile of its steps."""
