"""Files that are cut, and files with flipped bits."""

import random
from collections.abc import Iterator

from tests.hostile.cases import Case, bytes_case, good_state_dict, saved, zip_file

_FORMS = ("zip", "legacy", "package")


def cases(num_cuts: int = 34, num_flips: int = 60) -> Iterator[Case]:
    for form in _FORMS:
        content = _file(form)
        for index in range(num_cuts):
            size = len(content) * index // num_cuts
            yield bytes_case("cut", f"{form}, {size} bytes", lambda size=size, content=content: content[:size])
        for back in (1, 2, 22, 100):
            yield bytes_case("cut", f"{form}, {back} bytes less", lambda back=back, content=content: content[:-back])
        numbers = random.Random(form)
        for _ in range(num_flips):
            place = numbers.randrange(8 * len(content))
            # The older format has no checksums.
            yield bytes_case(
                "flipped",
                f"{form}, bit {place}",
                lambda place=place, content=content: _flipped(content, place),
                "either",
                same_model=form != "legacy",
            )


def _file(form: str) -> bytes:
    content = saved({"state_dict": good_state_dict(), "optimizer": {}}, legacy=form == "legacy")
    return zip_file({"m.pth": content}) if form == "package" else content


def _flipped(content: bytes, place: int) -> bytes:
    changed = bytearray(content)
    changed[place // 8] ^= 1 << (place % 8)
    return bytes(changed)
