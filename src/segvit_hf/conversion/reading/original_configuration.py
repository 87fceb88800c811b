"""Reads the configuration of an original from a file, without executing anything in it."""

import json
from pathlib import Path
from typing import Any

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.reading.plain_yaml import read_plain_yaml

_PYTHON_CONFIG_ADVICE = """\
{path}: expected JSON. A configuration in Python would have to be executed, which this program never does.
Where mmcv is installed, write it as JSON:
  python -c "import json, mmcv; c = mmcv.Config.fromfile('{path}'); \
print(json.dumps(dict(model=c.model, test_cfg=c.get('test_cfg'), test_pipeline=c.test_pipeline)))" > original.json
and add "classes": [names in the order of their ids]."""


def read_original_configuration(path: Path) -> dict[str, Any]:
    """An original configuration written as JSON, or as YAML of plain values.

    Raises:
        ConversionError: If the file is missing, neither (a Python configuration is never executed), or no object.
    """
    if path.suffix in (".yml", ".yaml"):
        return read_plain_yaml(path)
    if path.suffix == ".py":
        raise ConversionError(_PYTHON_CONFIG_ADVICE.format(path=path))
    try:
        original = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConversionError(f"{path}: no such file.") from error
    except ValueError as error:
        raise ConversionError(f"{path}: expected JSON ({error}).") from error
    if not isinstance(original, dict):
        raise ConversionError(f"{path}: expected a JSON object with the key 'model', found {type(original).__name__}.")
    return original


__all__ = ["read_original_configuration"]
