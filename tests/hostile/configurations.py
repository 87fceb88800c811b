"""Configurations that make no sense: `variant.yml`, mmsegmentation's dictionaries, classes, palettes."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.hostile.cases import (
    Case,
    Expected,
    Words,
    good_original,
    good_state_dict,
    good_variant,
    saved,
    segmenter_words,
    segvit_words,
)

_NAN, _INFINITY = float("nan"), float("inf")
# Place of a field in variant.yml, and values for it.
_VARIANT: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("net_kwargs.n_heads", (-2, 0, 7, "two", None, 1.5, True, 10**9)),
    ("net_kwargs.n_layers", (-1, 0, "x", 10**9)),
    ("net_kwargs.d_model", (0, -48, 10**9)),
    ("net_kwargs.patch_size", (0, -16, "16")),
    ("net_kwargs.image_size", (0, -64, [64], [64, 64, 64], "64", [64, 0])),
    ("net_kwargs.dropout", (_NAN, -0.1, 1.0, 2, "x")),
    ("net_kwargs.drop_path_rate", (_NAN, -1, 1.5)),
    ("net_kwargs.n_cls", (0, -7, 10**9)),
    ("net_kwargs.decoder", ([], None, "linear")),
    ("net_kwargs.decoder.dropout", (_NAN, -1)),
    ("dataset_kwargs.image_size", (0, -5, "x", _NAN)),
    ("dataset_kwargs.dataset", ([], {}, 5)),
    ("inference_kwargs.window_size", (0, -1, "x")),
    ("inference_kwargs.window_stride", (0, -1)),
    ("reduce_zero_label", ("false", "yes please", 1, [])),
    ("classes", ("abcdefg", 5, {"a": 1}, [None] * 7, ["a"] * 7, ["a"] * 6, ["a\nb", *"bcdefg"], ["", *"bcdefg"])),
    ("palette", (5, "x", [[300, -1, 0]] * 7, [[1, 2]] * 7, [None] * 7, [[0.5, 0, 0]] * 7, _INFINITY)),
    ("surprise.*", ("x",)),
)
_MMSEG: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("model.backbone.norm_cfg.eps", (_NAN, 0, -1e-6, 5)),
    ("model.backbone.num_heads", (-1, 0, 5)),
    ("model.backbone.drop_path_rate", (-1, 2, _NAN)),
    ("model.backbone.mlp_ratio", (0, -4, 1e9, _INFINITY)),
    ("model.backbone.out_indices", ("x", [99], None)),
    ("model.backbone.num_layers", (10**6,)),
    ("model.decode_head.num_layers", (0, 10**6)),
    ("model.decode_head.ignore_index", ("x", 1.5)),
    ("model.decode_head.loss_decode.mask_weight", (_NAN, -1)),
    ("model.test_cfg", ({"mode": "slide", "crop_size": [0, 64], "stride": [1, 1]}, 5)),
    ("reduce_zero_label", ("false",)),
    ("classes", ("abcdef", ["a"] * 6)),
    ("test_pipeline", (5, "x", [5], [{}], [{"type": "MultiScaleFlipAug", "img_scale": [0, 0], "transforms": []}])),
)


def cases() -> Iterator[Case]:
    for place, values in _VARIANT:
        for value in values:
            yield Case(
                "configuration",
                f"variant.yml {place} = {value!r}"[:70],
                _variant_writer(place, value),
                _of(place),
                same_model=False,
            )
    for place, values in _MMSEG:
        for value in values:
            yield Case("configuration", f"JSON {place} = {value!r}"[:70], _mmseg_writer(place, value))
    for text in (
        "a: !!python/object/apply:os.abort []",
        "a: !!python/name:os.abort",
        "a: [",
        "- 1",
        "",
        "\x00",
        "a: 2001-99-99",
    ):
        yield Case("configuration", f"variant.yml {text!r}"[:70], lambda f, text=text: segmenter_words(f, text))
    for text in ("", "[]", "{}", "nul", '{"model": NaN}', '{"model": {}, "model": {}}', "\ufeff{}"):
        yield Case("configuration", f"JSON {text!r}", lambda f, text=text: _json_words(f, text))


def _of(place: str) -> Expected:
    # Segmenter's files hold more than its model: what is beside is not looked at.
    return "accepted" if place.startswith("surprise") else "refused"


def _variant_writer(place: str, value: Any) -> Callable[[Path], Words]:
    return lambda folder: segmenter_words(folder, with_value(good_variant(), place, value))


def _mmseg_writer(place: str, value: Any) -> Callable[[Path], Words]:
    def write(folder: Path) -> Words:
        (folder / "weights.pth").write_bytes(saved({"state_dict": good_state_dict()}))
        return segvit_words(folder, original=with_value(good_original(), place, value))

    return write


def _json_words(folder: Path, text: str) -> Words:
    (folder / "weights.pth").write_bytes(saved({"state_dict": good_state_dict()}))
    words = segvit_words(folder)
    (folder / "original.json").write_text(text)
    return words


def with_value(values: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    *sections, field = place.split(".")
    section = values
    for name in sections:
        section = section.setdefault(name, {})
    section[field] = value
    return values
