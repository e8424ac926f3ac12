"""The losses, one module per method: pure functions of tensors, without state and without randomness."""
