"""Both roads to a released model, its preset and the original's configuration, lead to the same place."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from segvit_hf import get_preset, list_presets
from segvit_hf.conversion.convert import FAMILIES
from segvit_hf.encoders.configuration_vit import as_pair

# The originals' configurations of all presets, as their projects resolve them.
FIXTURE = Path(__file__).parents[1] / "fixtures" / "originals_of_presets.json.gz"
ORIGINALS = json.loads(gzip.decompress(FIXTURE.read_bytes()))


def original_of(name: str) -> dict[str, Any]:
    labels = get_preset(name).label_set
    return {
        **ORIGINALS[name],
        "classes": labels.classes,
        "palette": labels.palette,
        "reduce_zero_label": labels.reduce_zero_label,
    }


def test_every_preset_has_its_original() -> None:
    assert sorted(ORIGINALS) == sorted(list_presets())


@pytest.mark.parametrize("name", list_presets())
def test_a_preset_is_what_reading_the_originals_configuration_gives(name: str) -> None:
    preset = get_preset(name)
    plan = FAMILIES[preset.family].plan_conversion({}, original_of(name))
    ours, theirs = preset.build_config().to_dict(), plan.config.to_dict()
    assert as_pair(ours.pop("image_size")) == as_pair(theirs.pop("image_size"))
    assert ours == theirs
    assert preset.build_image_processor().to_dict() == plan.image_processor.to_dict()
