"""Reading the reference cases: small models of the original implementations and what they computed.

A case is `tests/fixtures/reference/<family>/<name>.json.gz` (the original's configuration, the names and shapes of its
state dict, losses, gradient norms) and, where tensors were recorded, `<name>.safetensors` beside it. Weights and
inputs are made by `tests.deterministic_fill`.

To look at a case: `zcat tests/fixtures/reference/segvit/tiny-atm3.json.gz | less`.
To store one: `gzip -9n <name>.json` (without name and time, so that equal cases are equal files).
"""

import fnmatch
import gzip
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from segvit_hf.encoders.beit import relative_positions
from tests import deterministic_fill

FIXTURES = Path(__file__).parent / "fixtures"
CASE_ENDING = ".json.gz"

TENSOR_TOLERANCE = 1e-4
LOSS_TOLERANCE = 1e-4
GRADIENT_NORM_TOLERANCE = 1e-3
LABEL_MAP_AGREEMENT = 0.999

NO_OBJECT_WEIGHT = 0.1


@dataclass(frozen=True)
class ReferenceCase:
    """One model of an original implementation with what it computed.

    `meta` is the content of the compressed JSON file; `path` is that file.
    """

    path: Path
    meta: dict[str, Any]

    @property
    def name(self) -> str:
        return self.path.name.removesuffix(CASE_ENDING)

    @property
    def family(self) -> str:
        return self.path.parent.name

    @property
    def seed(self) -> int:
        return self.meta["seed"]

    @property
    def arch(self) -> dict[str, Any]:
        """The original's resolved model configuration (for mmseg families: backbone, decode_head, test_cfg)."""
        return self.meta["arch"]

    @cached_property
    def tensors(self) -> dict[str, torch.Tensor]:
        """What the original computed, subsampled in space by `outputs.<name>.stride`; empty for key manifests."""
        file = self.path.with_name(f"{self.name}.safetensors")
        return load_file(file) if file.exists() else {}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every entry of the original's state dict."""
        return {name: tuple(shape) for name, (_, shape) in self.meta["keys"].items()}

    def meta_state_dict(self) -> dict[str, torch.Tensor]:
        """The original's state dict on the meta device: names, dtypes and shapes, no memory."""
        return {
            name: torch.empty(shape, dtype=getattr(torch, dtype), device="meta")
            for name, (dtype, shape) in self.meta["keys"].items()
        }

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The original's state dict, filled.

        Entries that the original computes in its constructor keep those values: batch norm's counters are 0,
        `*.criterion.empty_weight` (the class weights of the loss) is ones with the no-object weight last, and BEiT's
        index tables are those of a square patch grid.

        Raises:
            ValueError: if a constructor's value is needed and not known.
        """
        not_filled = self.meta["checkpoint"].get("not_filled", [])
        state_dict = {}
        for name, (dtype, shape) in self.meta["keys"].items():
            if dtype.startswith("float") and not any(fnmatch.fnmatchcase(name, pattern) for pattern in not_filled):
                values = torch.from_numpy(deterministic_fill.filled_weight(name, tuple(shape), self.seed))
                state_dict[name] = values.to(getattr(torch, dtype))
            else:
                state_dict[name] = _constructor_value(name, getattr(torch, dtype), shape)
        for name, factor in self.meta.get("scaled_weights", {}).items():
            state_dict[name] = state_dict[name] * factor
        for name, values in self.meta.get("replaced_weights", {}).items():
            replacement = torch.tensor(values, dtype=state_dict[name].dtype)
            if replacement.shape != state_dict[name].shape:
                raise ValueError(f"{self.path}: replaced_weights[{name!r}] has shape {tuple(replacement.shape)}")
            state_dict[name] = replacement
        return state_dict

    def pixel_values(self) -> torch.Tensor:
        """The input images, float32 (batch, channels, height, width)."""
        return torch.from_numpy(deterministic_fill.pixel_values(tuple(self.meta["input_shape"]), self.seed))

    def labels(self) -> torch.Tensor:
        """The label maps, int64 (batch, height, width)."""
        recipe = self.meta["labels"]
        ignore_index = recipe["ignore_index"]
        labels = torch.from_numpy(
            deterministic_fill.label_map(tuple(recipe["shape"]), recipe["num_labels"], ignore_index, recipe["seed"])
        )
        labels[recipe.get("all_ignored_images", [])] = ignore_index
        return labels

    def head_inputs(self) -> tuple[list[torch.Tensor], torch.Tensor]:
        """The inputs of a decode head that was run alone.

        Returns one float32 tensor (batch, kept tokens, channels) a stage, shallowest first, and the int64 indices of
        the kept tokens.
        """
        recipe = self.meta["head_inputs"]
        kept_tokens = torch.tensor(recipe["kept_tokens"], dtype=torch.int64)
        shape = (recipe["batch"], len(kept_tokens), recipe["channels"])
        stages = [
            torch.from_numpy(deterministic_fill.standard_normal(f"tokens.{stage}", shape, self.seed))
            for stage in range(recipe["stages"])
        ]
        return stages, kept_tokens

    def photo(self) -> Image.Image:
        """The RGB photo of an end-to-end case."""
        if "input" in self.meta:  # named after skimage's function
            name = self.meta["input"]["photo"].removeprefix("skimage.data.")
        else:
            photo = self.meta["photo"] if "photo" in self.meta else self.meta["image"]
            name = photo if isinstance(photo, str) else photo["name"]
        return Image.open(FIXTURES / "photos" / f"{name}.png").convert("RGB")


def _constructor_value(name: str, dtype: torch.dtype, shape: list[int]) -> torch.Tensor:
    if name.endswith(".num_batches_tracked"):
        return torch.zeros(shape, dtype=dtype)
    if name.endswith(".criterion.empty_weight"):
        weights = torch.ones(shape, dtype=dtype)
        weights[-1] = NO_OBJECT_WEIGHT
        return weights
    if name.endswith(".relative_position_index"):
        side = math.isqrt(shape[0] - 1)
        return relative_positions((side, side), (side, side), torch.device("cpu")).index
    raise ValueError(f"{name} keeps the value of the original's constructor, which is not known")


def load_case(family: str, name: str) -> ReferenceCase:
    """Read the case `name` of `family` (a model type such as "segvit").

    Raises:
        FileNotFoundError: naming the cases that exist, if there is no such case.
    """
    path = FIXTURES / "reference" / family / f"{name}{CASE_ENDING}"
    if not path.exists():
        raise FileNotFoundError(f"no reference case {path}; {family} has {case_names(family)}")
    return ReferenceCase(path=path, meta=json.loads(gzip.decompress(path.read_bytes())))


def case_names(family: str, pattern: str = "*") -> list[str]:
    """The names of a family's cases that match a shell pattern, sorted: to parametrize tests with."""
    paths = (FIXTURES / "reference" / family).glob(f"{pattern}{CASE_ENDING}")
    return sorted(path.name.removesuffix(CASE_ENDING) for path in paths)


def assert_close_to_reference(
    actual: torch.Tensor, case: ReferenceCase, name: str, tolerance: float = TENSOR_TOLERANCE
) -> None:
    """Assert that the full-size `actual` equals the recorded output `name` of `case`.

    The largest difference may be `tolerance` times the largest magnitude that the original computed.
    """
    record = case.meta["outputs"][name]
    label = f"{case.family}/{case.name}: {name}"
    assert list(actual.shape) == record["shape"], f"{label} has shape {list(actual.shape)}, not {record['shape']}"
    stride = record.get("stride", 1)
    sampled = actual.detach().float().cpu()
    if stride > 1:
        sampled = sampled[..., ::stride, ::stride]
    expected = case.tensors[name].float()
    assert sampled.shape == expected.shape, f"{label}: {tuple(sampled.shape)} is compared to {tuple(expected.shape)}"
    difference = (sampled - expected).abs().max().item()
    allowed = tolerance * record.get("absmax", expected.abs().max().item())
    assert difference <= allowed, f"{label} differs by {difference:.3e}, more than {allowed:.3e}"


def assert_losses_match(
    actual: Mapping[str, float | torch.Tensor],
    expected: Mapping[str, float],
    tolerance: float = LOSS_TOLERANCE,
) -> None:
    """Assert that `actual` holds every loss of `expected`, under the same names, within a relative `tolerance`."""
    assert set(actual) == set(expected), f"losses {sorted(actual)}, expected {sorted(expected)}"
    _assert_relatively_close(actual, expected, tolerance, "loss")


def assert_gradient_norms_match(
    actual: Mapping[str, float | torch.Tensor | None],
    case: ReferenceCase,
    tolerance: float = GRADIENT_NORM_TOLERANCE,
) -> None:
    """Assert that the L2 norms of the gradients, by original parameter name, equal the recorded ones.

    A recorded null is a parameter without a gradient: ours may have none, or zero.
    """
    recorded: dict[str, float | None] = case.meta["grad_norms"]
    missing = sorted(set(recorded) - set(actual))
    assert not missing, f"no gradient norm was given for {missing}"
    expected = {name: 0.0 if norm is None else norm for name, norm in recorded.items()}
    found = {name: actual[name] for name in recorded}
    _assert_relatively_close(
        {name: 0.0 if norm is None else norm for name, norm in found.items()}, expected, tolerance, "gradient norm"
    )


def _assert_relatively_close(
    actual: Mapping[str, float | torch.Tensor], expected: Mapping[str, float], tolerance: float, what: str
) -> None:
    for name, wanted in expected.items():
        found = actual[name]
        value = found.item() if isinstance(found, torch.Tensor) else float(found)
        allowed = max(tolerance * abs(wanted), 1e-7)
        assert abs(value - wanted) <= allowed, f"{what} {name} is {value:.8g}, expected {wanted:.8g}"


def gradient_norms(
    case: ReferenceCase, model: torch.nn.Module, report: Mapping[str, str]
) -> dict[str, torch.Tensor | None]:
    """L2 norms of the model's gradients by the original's names, through the conversion's report.

    `None` for what the conversion drops, and for parameters without a gradient.
    """
    parameters = dict(model.named_parameters())
    gradients = {}
    for name in case.meta["grad_norms"]:
        parameter = parameters.get(report[name])
        gradients[name] = None if parameter is None else parameter.grad
    return {name: None if gradient is None else gradient.norm() for name, gradient in gradients.items()}


def assert_label_map_matches(
    actual: torch.Tensor | np.ndarray,
    case: ReferenceCase,
    name: str = "label_map",
    agreement: float = LABEL_MAP_AGREEMENT,
) -> None:
    """Assert that at least a share `agreement` of the pixels has the recorded class.

    The share is below one because pixels whose two best classes nearly tie may fall either way.
    """
    expected = case.tensors[name].to(torch.int64)
    found = torch.as_tensor(actual).cpu().to(torch.int64)
    assert found.shape == expected.shape, f"label map {tuple(found.shape)}, expected {tuple(expected.shape)}"
    share = (found == expected).double().mean().item()
    assert share >= agreement, f"{case.family}/{case.name}: {share:.5f} of the pixels agree, wanted {agreement}"
