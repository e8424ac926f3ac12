"""The models, each readable in one file: what they compute, not how they are trained or scored."""
