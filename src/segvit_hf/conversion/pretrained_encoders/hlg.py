"""Starts HLG's encoder from an ImageNet classifier: the authors' file, or the folder of a converted one."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.hlg.names import ENCODER_RULES
from segvit_hf.conversion.key_mapping import Rule, drop, match_keys, rename, under
from segvit_hf.conversion.reading.safe_loading import load_checkpoint_file
from segvit_hf.conversion.values import read_values
from segvit_hf.encoders.configuration_hlg import NUM_STAGES
from segvit_hf.encoders.hlg import HlgEncoder

_WEIGHTS = "model.safetensors"
_HEAD = "no part of the encoder"
_STAGE_NORMS = tuple(f"norms.{stage}." for stage in range(NUM_STAGES - 1))
_RULES: tuple[Rule, ...] = (
    # Ours first: a name of theirs begins with no `encoder.`
    rename("encoder.{rest}", "{rest}"),
    *under("backbone.", "", ENCODER_RULES),
    *ENCODER_RULES,
)
_HEADS = ("head", "classifier", "decode_head", "auxiliary_head", "decoder", "neck", "bbox_head", "pyramid", "detector")
_HEAD_RULES = tuple(drop(f"{name}.{{rest}}", _HEAD) for name in _HEADS)


def load_pretrained_hlg(
    encoder: HlgEncoder, source: str | Path | Mapping[str, torch.Tensor], prefix: str = ""
) -> dict[str, str]:
    """Fills an encoder with the weights of an ImageNet classifier, in place.

    The norms behind the first three stages, which classifiers lack, keep their initial values.

    Args:
        encoder: The encoder.
        source: A local `.pth` or `.safetensors` file with the authors' names, or a folder or file of a converted
            model of any task; or the weights themselves.
        prefix: What stands before our names in the report.

    Returns:
        Every key of the source to our parameter name, or to "dropped: <reason>".

    Raises:
        ConversionError: If the source cannot be read, or its weights are not those of such an encoder (the message
            lists the keys, with expected and found shapes), or they are no finite floating-point numbers.
    """
    weights = _read(source)
    parameters = dict(encoder.state_dict())
    has_stage_norms = any("norm_out_" in key or key.startswith("encoder.norms.0.") for key in weights)
    expected = {
        name: tensor.shape
        for name, tensor in parameters.items()
        if has_stage_norms or not name.startswith(_STAGE_NORMS)
    }
    described = "the given weights" if isinstance(source, Mapping) else str(source)
    match = match_keys(weights, expected, (*_HEAD_RULES, *_RULES), model_name=f"HLG encoder ({described})")
    sources = {name: key for name, key in match.sources.items() if not parameters[name].is_meta}
    with torch.no_grad():
        for name, value in read_values(weights, sources).items():
            parameters[name].copy_(value)
    return {key: line if line.startswith("dropped: ") else f"{prefix}{line}" for key, line in match.report.items()}


def _read(source: str | Path | Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    if isinstance(source, Mapping):
        return dict(source)
    path = Path(source)
    path = path / _WEIGHTS if path.is_dir() else path
    if not path.is_file():
        raise ConversionError(
            f"{source}: no such file. Expected a file of an HLG classifier's weights, or a converted one's folder."
        )
    if path.suffix != ".safetensors":
        return load_checkpoint_file(path).state_dict
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ConversionError(f"{path}: expected a safetensors file ({error}).") from error


__all__ = ["load_pretrained_hlg"]
