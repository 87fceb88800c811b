"""Reading checkpoints and configurations safely, and telling which model they are of."""
