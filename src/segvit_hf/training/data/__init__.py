"""Photos and label maps on their way to a training step."""
