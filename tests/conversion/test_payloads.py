"""No file runs code: what may be built is pinned, and everything else is refused in our words."""

from pathlib import Path

import pytest

from segvit_hf.conversion import ConversionError, load_checkpoint_file
from segvit_hf.conversion.reading.safe_loading import ALLOWED_GLOBALS
from tests.hostile.cases import legacy_file, torch_zip_file
from tests.hostile.payloads import CANARY, HAND_MADE, PAYLOADS, write_payload


def test_what_a_file_may_have_built_is_pinned() -> None:
    # Whoever adds to this list must be sure that building it calls nothing that the file chooses.
    names = {
        entry[1] if isinstance(entry, tuple) else f"{entry.__module__}.{entry.__qualname__}"
        for entry in ALLOWED_GLOBALS
    }
    assert names == {
        "argparse.Namespace",
        "numpy._core.multiarray._reconstruct",
        "numpy._core.multiarray.scalar",
        "numpy.core.multiarray._reconstruct",
        "numpy.core.multiarray.scalar",
        "numpy.dtype",
        "numpy.dtypes.Float32DType",
        "numpy.dtypes.Float64DType",
        "numpy.dtypes.Int64DType",
        "numpy.dtypes.UInt8DType",
        "numpy.ndarray",
    }


@pytest.mark.parametrize("form", ["zip", "legacy", "package"])
@pytest.mark.parametrize("name", PAYLOADS)
def test_payloads_are_refused_and_not_executed(name: str, form: str, tmp_path: Path) -> None:
    path = write_payload(tmp_path, PAYLOADS[name], "beside", form)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ConversionError, match="refused, nothing was executed") as error:
        load_checkpoint_file(path)
    assert sorted(tmp_path.iterdir()) == before
    assert "weights_only" not in str(error.value)


@pytest.mark.parametrize("form", [torch_zip_file, legacy_file])
@pytest.mark.parametrize("name", HAND_MADE)
def test_hand_made_pickles_are_refused_and_not_executed(name: str, form: object, tmp_path: Path) -> None:
    assert callable(form)
    (tmp_path / "weights.pth").write_bytes(form(HAND_MADE[name](tmp_path / CANARY)))
    with pytest.raises(ConversionError) as error:
        load_checkpoint_file(tmp_path / "weights.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["weights.pth"]
    assert "weights_only" not in str(error.value)
    assert "\n" not in str(error.value)
