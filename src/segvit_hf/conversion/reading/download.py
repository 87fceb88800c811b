"""Fetches released files: from Hub repositories, or from the authors' web servers."""

import os
import urllib.error
import urllib.parse
from pathlib import Path

import torch
from huggingface_hub import hf_hub_download

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.segmenter.original import VARIANT_FILE
from segvit_hf.messages import one_line
from segvit_hf.presets import Preset

_CHECKPOINT_FILE = "checkpoint.pth"


def fetch_released_file(preset: Preset, revision: str | None = None) -> Path:
    """The file of a preset, from a cache or downloaded into it.

    Args:
        preset: The released model.
        revision: Branch, tag or commit of a Hub repository; the default branch when `None`.

    Raises:
        ConversionError: If it cannot be fetched; names the file and where to get it by hand.
    """
    if not preset.released:
        raise ConversionError(
            f"The weights of {preset.name} were never released. The preset converts a file of your own that was "
            f"trained with the authors' configuration:\n  segvit-hf convert {preset.name} FILE --output DIR"
        )
    if preset.page is not None:
        raise ConversionError(
            f"{preset.name} cannot be fetched by a program. Download it by hand from {preset.page} and run\n"
            f"  segvit-hf convert {preset.name} FILE --output DIR"
        )
    where = f"the Hub repository {preset.repository}"
    try:
        if preset.is_on_the_hub:
            return Path(hf_hub_download(preset.repository, preset.file, revision=revision))
        where = urllib.parse.urlsplit(preset.base_url or "").netloc
        return fetch_checkpoint(f"{preset.base_url}/{preset.file}")
    except Exception as error:  # which HTTP library raises depends on the version of huggingface_hub
        reason = one_line(error, longest=300)
        file_name = preset.file.rsplit("/", 1)[-1]
        raise ConversionError(
            f"{preset.file} could not be fetched from {where} ({reason}).\n"
            f"Download it by hand from {preset.url} and run\n"
            f"  segvit-hf convert {preset.name} {file_name} --output DIR"
        ) from error


def fetch_encoder(head: Path, preset: Preset | None = None) -> Path:
    """The original file of the encoder that a head goes with, from a cache or downloaded into it.

    Args:
        head: The head's file, for messages.
        preset: The released model, where it is one.

    Raises:
        ConversionError: There is none that a program can fetch, or it cannot be fetched.
    """
    if preset is None or preset.encoder_file is None:
        example = "" if preset is None or preset.encoder_id is None else f", such as {preset.encoder_id}"
        raise ConversionError(
            f"{head}: the file holds a head without its encoder. Name the encoder with --encoder: the original's "
            f"file, a folder that transformers loads, or a Hub id{example}."
        )
    try:
        return fetch_checkpoint(f"{preset.base_url}/{preset.encoder_file}")
    except ConversionError as error:
        raise ConversionError(f"{error}. Name the encoder with --encoder, such as {preset.encoder_id}.") from error


def is_url(source: str) -> bool:
    """Whether a FILE of the command line is an address."""
    return source.startswith(("http://", "https://"))


def fetch_checkpoint(url: str, cache: Path | None = None) -> Path:
    """A checkpoint from a web server, with the `variant.yml` beside it where there is one.

    Args:
        url: Address of a `.pth` file, or of a folder with `checkpoint.pth`.
        cache: Folder for downloads; `segvit_hf` in the user's cache folder by default.

    Returns:
        The file. What is in the cache already is not fetched again.

    Raises:
        ConversionError: If the checkpoint cannot be fetched.
    """
    if not url.endswith((".pth", ".pt")):
        url = f"{url.rstrip('/')}/{_CHECKPOINT_FILE}"
    parts = urllib.parse.urlsplit(url)
    names = [name for name in parts.path.split("/") if name not in ("", ".", "..")]
    folder = (cache or _cache_folder()).joinpath(parts.netloc.replace(":", "_"), *names[:-1])
    path = folder / names[-1]
    if not path.exists():
        try:
            _download(urllib.parse.urljoin(url, VARIANT_FILE), folder / VARIANT_FILE)
        except urllib.error.HTTPError:
            pass  # only Segmenter's own files have one
        except OSError as error:
            raise ConversionError(f"{url} could not be fetched: {error}") from error
        try:
            _download(url, path)
        except OSError as error:
            raise ConversionError(f"{url} could not be fetched: {error}") from error
    return path


def _download(url: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.hub.download_url_to_file(url, str(path))  # under a temporary name until it is complete


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "segvit_hf"


__all__ = ["fetch_checkpoint", "fetch_encoder", "fetch_released_file", "is_url"]
