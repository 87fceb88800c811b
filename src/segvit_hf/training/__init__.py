"""Fine-tuning and evaluation of semantic-segmentation models from YAML recipes."""
