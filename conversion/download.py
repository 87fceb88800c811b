"""Fetches a released file: from its Hub repository, or from its address."""

import re
from pathlib import Path

import torch
from huggingface_hub import hf_hub_download

from conversion.errors import ConversionError
from conversion.released_checkpoint import ReleasedCheckpoint

# The beginning of a file's sha256 at the end of its name, as torch.hub and mmsegmentation's zoo write it.
_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,})\.pth$")


def fetch_released_file(checkpoint: ReleasedCheckpoint, revision: str | None = None) -> Path:
    """
    The file of a preset, from a cache (huggingface_hub's, or torch.hub's) or downloaded into it.

    Args:
        checkpoint: The preset.
        revision: Branch, tag or commit of the repository; the default branch when `None`.

    Raises:
        ConversionError: If it cannot be fetched; names the file and where to get it by hand.
    """
    command = f"  segvit-hf convert {checkpoint.name} {checkpoint.file_name} --output DIR"
    if checkpoint.url is None:
        raise ConversionError(
            f"The weights of {checkpoint.name} were never released: the preset needs a file that was trained with the "
            f"authors' configuration.\n{command}"
        )
    if not checkpoint.can_be_fetched:
        raise ConversionError(
            f"{checkpoint.name} cannot be fetched by a program. Download it by hand from {checkpoint.url} and give "
            f"its path, whatever it is called:\n{command}"
        )
    try:
        if checkpoint.repository is None:
            return _fetch_from_address(checkpoint.url, checkpoint.file_name)
        return Path(hf_hub_download(checkpoint.repository, checkpoint.file_name, revision=revision))
    except Exception as error:  # which HTTP library raises depends on the version of huggingface_hub
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        place = "" if checkpoint.repository is None else f" from the Hub repository {checkpoint.repository}"
        raise ConversionError(
            f"{checkpoint.file_name} could not be fetched{place} ({reason}).\n"
            f"Download it by hand from {checkpoint.url} and run\n{command}"
        ) from error


def _fetch_from_address(url: str, file_name: str) -> Path:
    path = Path(torch.hub.get_dir()) / "checkpoints" / file_name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        hash_in_name = _HASH_IN_NAME.search(file_name)
        # Written to a temporary name first, and checked against the hash.
        torch.hub.download_url_to_file(url, str(path), hash_prefix=hash_in_name[1] if hash_in_name else None)
    return path


__all__ = ["fetch_released_file"]
