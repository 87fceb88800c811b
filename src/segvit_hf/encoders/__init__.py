"""Plain vision-transformer encoders that the architectures share."""
