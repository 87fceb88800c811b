"""Fetches a released file from its Hub repository."""

from pathlib import Path

from huggingface_hub import hf_hub_download

from conversion.errors import ConversionError
from conversion.released_checkpoints import ReleasedCheckpoint


def fetch_released_file(checkpoint: ReleasedCheckpoint, revision: str | None = None) -> Path:
    """
    The file of a preset, from huggingface_hub's cache or downloaded into it.

    Args:
        checkpoint: The preset.
        revision: Branch, tag or commit of the repository; the default branch when `None`.

    Raises:
        ConversionError: If it cannot be fetched; names the file and where to get it by hand.
    """
    try:
        return Path(hf_hub_download(checkpoint.repository, checkpoint.file_name, revision=revision))
    except Exception as error:  # which HTTP library raises depends on the version of huggingface_hub
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ConversionError(
            f"{checkpoint.file_name} could not be fetched from the Hub repository {checkpoint.repository} "
            f"({reason}).\nDownload it by hand from {checkpoint.url} and run\n"
            f"  segvit-hf convert {checkpoint.name} {checkpoint.file_name} --output DIR"
        ) from error


__all__ = ["fetch_released_file"]
