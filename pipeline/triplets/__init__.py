"""Reports to (pathology, anatomy, existence, severity) triplets, and triplets to a dataset's labels."""
