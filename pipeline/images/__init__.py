"""Images from any container to square 8 bit tensors in Arrow shards; imports are left to the modules."""
