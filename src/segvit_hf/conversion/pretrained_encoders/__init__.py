"""ImageNet weights that start an encoder."""

from segvit_hf.conversion.pretrained_encoders.loading import load_pretrained_encoder

__all__ = ["load_pretrained_encoder"]
