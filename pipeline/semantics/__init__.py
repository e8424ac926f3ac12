"""What the models are asked for: query sets, their labels, explanations, prompts and the text encoder."""
