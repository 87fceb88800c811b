"""From released checkpoints to folders that `from_pretrained` loads: safe loading, key maps, the table of releases."""

from conversion.convert import ConvertedCheckpoint, convert_checkpoint
from conversion.errors import ConversionError
from conversion.pretrained_encoders import load_pretrained_encoder
from conversion.released_checkpoints import RELEASED_CHECKPOINTS, ReleasedCheckpoint, get_released_checkpoint
from conversion.safe_loading import LoadedCheckpoint, load_checkpoint_file

__all__ = [
    "RELEASED_CHECKPOINTS",
    "ConversionError",
    "ConvertedCheckpoint",
    "LoadedCheckpoint",
    "ReleasedCheckpoint",
    "convert_checkpoint",
    "get_released_checkpoint",
    "load_checkpoint_file",
    "load_pretrained_encoder",
]
