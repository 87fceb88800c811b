"""Checkpoints inside zip packages, as ViT-Adapter's large models are released.

Nothing is unpacked: the one checkpoint of a package is read into memory from where it is.
"""

import io
import stat
import zipfile
from pathlib import Path, PurePosixPath, PureWindowsPath

from segvit_hf.conversion.errors import ConversionError

CHECKPOINT_SUFFIXES = (".pth", ".pt", ".pth.tar")
# What file managers add.
_SERVICE_FOLDER = "__MACOSX"


def checkpoint_members(archive: zipfile.ZipFile) -> list[str]:
    """Names of the checkpoints in a package."""
    return [
        member.filename
        for member in archive.infolist()
        if not member.is_dir()
        and member.filename.lower().endswith(CHECKPOINT_SUFFIXES)
        and PurePosixPath(member.filename).parts[0] != _SERVICE_FOLDER
    ]


def read_packed_checkpoint(path: Path) -> tuple[str, io.BytesIO]:
    """The name and the content of the checkpoint in a package.

    Raises:
        ConversionError: The package has a member that points outside of it (an absolute path, `..`, a link), several
            checkpoints, or is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            outside = [member.filename for member in archive.infolist() if _points_outside(member)]
            if outside:
                raise ConversionError(
                    f"{path}: refused, nothing was read. A package of weights has no members that point outside of "
                    f"it: {', '.join(outside[:5])}."
                )
            names = checkpoint_members(archive)
            if len(names) != 1:
                raise ConversionError(
                    f"{path}: expected a package with one checkpoint ({', '.join(CHECKPOINT_SUFFIXES)}), found "
                    f"{', '.join(names) or 'none'}."
                )
            return names[0], io.BytesIO(archive.read(names[0]))
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise ConversionError(
            f"{path}: the package cannot be read to its end ({error}). Download it again."
        ) from error


def _points_outside(member: zipfile.ZipInfo) -> bool:
    # orig_filename is what the package says; zipfile cleans the other one up.
    for name in (member.orig_filename, member.filename):
        posix, windows = PurePosixPath(name), PureWindowsPath(name)
        if posix.is_absolute() or windows.drive or windows.root or ".." in windows.parts:
            return True
    return stat.S_ISLNK(member.external_attr >> 16)


__all__ = ["CHECKPOINT_SUFFIXES", "checkpoint_members", "read_packed_checkpoint"]
