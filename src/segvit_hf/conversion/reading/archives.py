"""Zip archives: checked before anything in them is believed, and read in pieces.

`torch.save` writes zip archives whose entries are not compressed, ViT-Adapter's large models are released in zip
packages around such files. A hostile archive unpacks to more than any memory holds, or names an entry twice; a damaged
one shows in its checksums, which torch does not look at.
"""

import copy
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.messages import listed, shown

CHECKPOINT_SUFFIXES = (".pth", ".pt", ".pth.tar")
# What file managers add.
_SERVICE_FOLDER = "__MACOSX"
# Reading a little of any other compression may unpack gigabytes at once.
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# Weights hardly compress; what is small may be as dense as it likes.
_LARGEST_RATIO = 20
_SMALL = 64 << 20
_MOST_ENTRIES = 1 << 20
_PIECE = 1 << 20


@contextmanager
def open_archive(path: Path, name: str) -> Iterator[zipfile.ZipFile]:
    """A zip archive whose table of contents makes sense: every entry once, and no more in it than weights may be.

    Args:
        path: The file.
        name: How messages call it.

    Raises:
        ConversionError: The table of contents is refused, or the archive turns out to be damaged while it is read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_contents(archive, name)
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError) as error:
        reason = shown(str(error), longest=200) or "it ends too early"
        raise ConversionError(
            f"{name}: the file starts like a zip archive but cannot be read to its end ({reason}): the download is "
            "probably incomplete or damaged. Download it again."
        ) from error


def checkpoint_members(archive: zipfile.ZipFile) -> list[str]:
    """Names of the checkpoints in a package."""
    return [
        member.filename
        for member in archive.infolist()
        if not member.is_dir()
        and member.filename.lower().endswith(CHECKPOINT_SUFFIXES)
        and PurePosixPath(member.filename).parts[0] != _SERVICE_FOLDER
    ]


def find_packed_checkpoint(archive: zipfile.ZipFile, name: str) -> str:
    """The name of the one checkpoint in a package.

    Raises:
        ConversionError: The package has a member that points outside of it (an absolute path, `..`, a link), or not
            exactly one checkpoint.
    """
    outside = [member.filename for member in archive.infolist() if _points_outside(member)]
    if outside:
        raise ConversionError(
            f"{name}: refused, nothing was read. A package of weights has no members that point outside of it: "
            f"{listed(outside)}."
        )
    names = checkpoint_members(archive)
    if len(names) != 1:
        raise ConversionError(
            f"{name}: expected a package with one checkpoint ({', '.join(CHECKPOINT_SUFFIXES)}), found "
            f"{listed(names) or 'none'}."
        )
    return names[0]


def read_start(archive: zipfile.ZipFile, member: str, size: int) -> bytes:
    """The first bytes of a member."""
    with open_member(archive, archive.getinfo(member)) as stream:
        return stream.read(size)


def copy_member(archive: zipfile.ZipFile, member: str, target: IO[bytes]) -> None:
    """Writes the content of a member to an open file, in pieces; checks its checksum."""
    with open_member(archive, archive.getinfo(member)) as stream:
        while piece := stream.read(_PIECE):
            target.write(piece)


def check_checksums(archive: zipfile.ZipFile) -> None:
    """Reads the archive once, in pieces.

    Raises:
        zipfile.BadZipFile: A checksum does not fit; `open_archive` says so in a message.
    """
    for member in archive.infolist():
        with open_member(archive, member) as stream:
            while stream.read(_PIECE):
                pass


def open_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> IO[bytes]:
    """A stream over an entry, which compares its checksum at the end; where the archive has one."""
    if member.CRC == 0:
        # `torch.serialization.set_crc32_options(False)` leaves checksums out; zipfile then compares nothing.
        member = copy.copy(member)
        del member.CRC
    return archive.open(member)


def _check_contents(archive: zipfile.ZipFile, name: str) -> None:
    members = archive.infolist()
    if len(members) > _MOST_ENTRIES:
        raise ConversionError(f"{name}: refused: it has {len(members)} entries, no checkpoint has {_MOST_ENTRIES}.")
    repeated = [entry for entry, count in Counter(m.filename for m in members).items() if count > 1]
    if repeated:
        raise ConversionError(f"{name}: refused: it has more than one entry of a name: {listed(repeated)}.")
    for member in members:
        if member.flag_bits & 1:
            raise ConversionError(f"{name}: refused: its entry {shown(member.filename)} is encrypted.")
        if member.compress_type not in _COMPRESSIONS:
            kind = f"the compression method {member.compress_type}"
            raise ConversionError(
                f"{name}: refused: expected entries that are stored or deflated, found {kind}: "
                f"{shown(member.filename)}. Unpack it first."
            )
    packed, unpacked = sum(m.compress_size for m in members), sum(m.file_size for m in members)
    if unpacked > max(_SMALL, _LARGEST_RATIO * packed):
        raise ConversionError(
            f"{name}: refused, nothing was read. Weights hardly compress; its {packed} bytes would become {unpacked}."
        )


def _points_outside(member: zipfile.ZipInfo) -> bool:
    # orig_filename is what the package says; zipfile cleans the other one up.
    for name in (member.orig_filename, member.filename):
        posix, windows = PurePosixPath(name), PureWindowsPath(name)
        if posix.is_absolute() or windows.drive or windows.root or ".." in windows.parts:
            return True
    return stat.S_ISLNK(member.external_attr >> 16)


__all__ = [
    "CHECKPOINT_SUFFIXES",
    "check_checksums",
    "checkpoint_members",
    "copy_member",
    "find_packed_checkpoint",
    "open_archive",
    "open_member",
    "read_start",
]
