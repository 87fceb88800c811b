"""From released checkpoints to folders that `from_pretrained` loads: safe loading, key maps, the table of releases."""

from segvit_hf.conversion.convert import ConvertedCheckpoint, convert_checkpoint, convert_weights
from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.pretrained_encoders.loading import load_pretrained_encoder
from segvit_hf.conversion.reading.safe_loading import LoadedCheckpoint, load_checkpoint_file
from segvit_hf.conversion.released_checkpoints import RELEASED_CHECKPOINTS, ReleasedCheckpoint, get_released_checkpoint

__all__ = [
    "RELEASED_CHECKPOINTS",
    "ConversionError",
    "ConvertedCheckpoint",
    "LoadedCheckpoint",
    "ReleasedCheckpoint",
    "convert_checkpoint",
    "convert_weights",
    "get_released_checkpoint",
    "load_checkpoint_file",
    "load_pretrained_encoder",
]
