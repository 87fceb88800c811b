"""From original checkpoints to folders that `from_pretrained` loads: safe loading, key maps, export, model cards."""

from segvit_hf.conversion.convert import ConvertedCheckpoint, convert_checkpoint, convert_weights
from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.merging import with_encoder
from segvit_hf.conversion.pretrained_encoders.loading import load_pretrained_encoder
from segvit_hf.conversion.reading.safe_loading import LoadedCheckpoint, load_checkpoint_file

__all__ = [
    "ConversionError",
    "ConvertedCheckpoint",
    "LoadedCheckpoint",
    "convert_checkpoint",
    "convert_weights",
    "load_checkpoint_file",
    "load_pretrained_encoder",
    "with_encoder",
]
