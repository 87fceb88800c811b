"""Reads the configuration of an original from a file, without executing anything in it."""

import json
from pathlib import Path
from typing import Any

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.reading.input_files import read_text
from segvit_hf.conversion.reading.plain_yaml import read_plain_yaml
from segvit_hf.messages import shown

_PYTHON_CONFIG_ADVICE = """\
{path}: expected JSON. A configuration in Python would have to be executed, which this program never does.
Where mmcv is installed, write it as JSON:
  python -c "import json, mmcv; c = mmcv.Config.fromfile('{path}'); \
print(json.dumps(dict(model=c.model, test_cfg=c.get('test_cfg'), test_pipeline=c.test_pipeline)))" > original.json
and add "classes": [names in the order of their ids]."""
_LARGEST_FILE = 1 << 24
_MOST_DIGITS = 18


def read_original_configuration(path: Path) -> dict[str, Any]:
    """An original configuration written as JSON, or as YAML of plain values.

    Raises:
        ConversionError: If the file is missing, neither (a Python configuration is never executed), or no object.
    """
    if path.suffix in (".yml", ".yaml"):
        return read_plain_yaml(path)
    if path.suffix == ".py":
        raise ConversionError(_PYTHON_CONFIG_ADVICE.format(path=path))
    text = read_text(path, "JSON", _LARGEST_FILE)
    try:
        original = json.loads(text, parse_int=_whole_number, object_pairs_hook=_object)
    except ValueError as error:
        raise ConversionError(f"{path}: expected JSON ({shown(str(error), longest=300)}).") from error
    except RecursionError as error:
        raise ConversionError(f"{path}: expected JSON, found values nested too deep.") from error
    if not isinstance(original, dict):
        raise ConversionError(f"{path}: expected a JSON object with the key 'model', found {type(original).__name__}.")
    return original


def _whole_number(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"expected whole numbers of at most {_MOST_DIGITS} digits, found {shown(digits, longest=20)}")
    return int(digits)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        twice = next(key for key, _ in pairs if sum(other == key for other, _ in pairs) > 1)
        raise ValueError(f"expected every key once, found {shown(twice)!r} twice")
    return values


__all__ = ["read_original_configuration"]
