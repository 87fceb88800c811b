"""Starts an encoder from ImageNet weights: by timm model name, or from a file in timm's, BEiT's or mmseg's naming."""

import difflib
import math
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from segvit_hf.conversion.dinov2.transformers_names import with_original_names
from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.key_mapping import Rule, drop, match_keys, report_of_whole, split_weights
from segvit_hf.conversion.pretrained_encoders.beit_bias_tables import fit_bias_tables
from segvit_hf.conversion.pretrained_encoders.hlg import load_pretrained_hlg
from segvit_hf.conversion.reading.encoder_weights import read_encoder_weights
from segvit_hf.conversion.reading.safe_loading import load_checkpoint_file
from segvit_hf.conversion.values import check_types, read_values
from segvit_hf.conversion.vit_names import (
    BEIT_RULES,
    DINOV2_VIT_RULES,
    DINOV2_VIT_SPLITS,
    MMSEG_BEIT_RULES,
    MMSEG_VIT_RULES,
    SCALED_VIT_RULES,
)
from segvit_hf.encoders.configuration_vit import ViTEncoderConfig
from segvit_hf.encoders.hlg import HlgEncoder
from segvit_hf.encoders.vit import ViTEncoder
from segvit_hf.layers.position_embeddings import resize_position_embeddings
from segvit_hf.messages import one_line

_FILE_SUFFIXES = (".pth", ".pt", ".bin", ".tar", ".safetensors", ".npz")
_NO_CLASSIFIER = "the classifier of the pretraining task"
_HEAD_RULES = (
    drop("head.{rest}", _NO_CLASSIFIER),
    drop("head_dist.{rest}", _NO_CLASSIFIER),
    drop("fc_norm.{rest}", _NO_CLASSIFIER),
    drop("pre_logits.{rest}", _NO_CLASSIFIER),
)


def load_pretrained_encoder(
    model: nn.Module, source: str | Path | Mapping[str, torch.Tensor], *, align_corners: bool = False
) -> dict[str, str]:
    """Fills a model's encoder with ImageNet weights, in place.

    Position embeddings are resized to the model's patch grid with the configuration's interpolation, as mmsegmentation
    and SETR do, BEiT's tables of relative position biases as its own code does; classifiers are dropped, and so are a
    final norm and tokens that the encoder lacks. An adapter beside the ViT keeps its initial values, and so do factors
    of layer scale that the source has not. For images of one channel the first convolution is summed over red, green
    and blue; for any other number than three it starts at random.

    Args:
        model: A model with a `ViTEncoder` as `.encoder`, or a `ViTEncoder`; or with an `HlgEncoder`, which starts from
            a classifier (see `load_pretrained_hlg`).
        source: A timm model name such as `"vit_base_patch16_384"` (fetched by timm), or a local `.pth`,
            `.safetensors` or `.npz` file with timm's names; BEiT's, DINOv2's and mmsegmentation's names, folders of
            transformers' Dinov2 and the `.npz` files of Google's JAX ViTs are read too. Or the weights themselves, by
            those names.
        align_corners: How position embeddings are resized: SETR's `align_corners` of the backbone. No released
            configuration of any architecture sets it.

    Returns:
        Every key of the source to our parameter name (what was changed on the way in brackets), or to
        "dropped: <reason>".

    Raises:
        ConversionError: If the source cannot be read, or its weights are not those of such an encoder (the message
            lists the keys, with expected and found shapes), or they are no finite floating-point numbers.
    """
    encoder = model if isinstance(model, (HlgEncoder, ViTEncoder)) else getattr(model, "encoder", None)
    if isinstance(encoder, HlgEncoder):
        return load_pretrained_hlg(encoder, source, prefix="" if encoder is model else "encoder.")
    if not isinstance(encoder, ViTEncoder):
        raise ConversionError(f"{type(model).__name__}: expected a model with a plain ViT or HLG as its encoder.")
    config = encoder.config
    weights = with_original_names(_without_prefix(_read(source, config)))
    described = "the given weights" if isinstance(source, Mapping) else str(source)
    check_types(weights, {key: key for key, weight in weights.items() if _is_resized(key) and not weight.is_meta})
    notes: dict[str, str] = {}
    is_beit = _is_beit(weights)
    if is_beit != config.use_relative_position_bias:
        kinds = {True: "a BEiT (relative position bias)", False: "a plain ViT (position embeddings)"}
        raise ConversionError(
            f"{described}: expected weights of {kinds[not is_beit]}, found those of {kinds[is_beit]}."
        )
    if is_beit:
        weights, notes = fit_bias_tables(weights, config.num_hidden_layers, config.patch_grid)
    rules = [*_dropped_rules(config), *_rules(weights), *_HEAD_RULES]
    at_random, change = _fit_patch_embedding(weights, config)
    notes.update(dict.fromkeys(("patch_embed.proj.weight", "patch_embed.projection.weight"), change))
    if "pos_embed" in weights:
        weights["pos_embed"], notes["pos_embed"] = _fit_position_embeddings(weights, config, align_corners)
    parameters = dict(encoder.state_dict())
    if at_random is not None:
        rules = [drop(at_random, f"the model has {config.num_channels} channels: it starts at random"), *rules]
        del parameters["embeddings.patch_embeddings.weight"]
    expected = {name: tensor.shape for name, tensor in parameters.items() if _is_part_of_vit(name, weights)}
    parts = split_weights(weights, DINOV2_VIT_SPLITS)
    match = match_keys(parts, expected, rules, model_name=f"ViT encoder ({described})")
    # A model on the meta device only shows whether names and shapes fit.
    sources = {name: key for name, key in match.sources.items() if not parameters[name].is_meta}
    with torch.no_grad():
        for name, value in read_values(parts, sources).items():
            parameters[name].copy_(value)
    prefix = "" if encoder is model else "encoder."
    lines = {key: _line(prefix, value, notes.get(key, "")) for key, value in match.report.items()}
    return report_of_whole(lines, weights)


def _is_resized(key: str) -> bool:
    return key == "pos_embed" or key.endswith("relative_position_bias_table")


def _line(prefix: str, value: str, note: str) -> str:
    if value.startswith("dropped: "):
        return value
    return f"{prefix}{value}" + (f" ({note})" if note else "")


def _dropped_rules(config: ViTEncoderConfig) -> list[Rule]:
    """Rules for what the source has and the encoder has not."""
    rules = []
    if not config.use_final_norm:
        rules += [drop(f"{norm}.{{rest}}", "the encoder has no final norm") for norm in ("norm", "ln1")]
    if not config.patch_bias:
        rules += [
            drop(f"patch_embed.{name}.bias", "the encoder's patches have no bias") for name in ("proj", "projection")
        ]
    if not config.use_class_token:
        rules.append(drop("cls_token", "the encoder has no class token"))
    if not config.use_distillation_token:
        rules.append(drop("dist_token", "the encoder has no distillation token"))
    return rules


def _is_part_of_vit(name: str, weights: Mapping[str, torch.Tensor]) -> bool:
    """Whether one of our encoder's parameters is to be found in the source."""
    if name.startswith("layers.") and ".layer_scale" in name:
        return any(re.fullmatch(r"(blocks|layers)\.\d+\.(gamma_?[12]|ls[12]\.gamma)", key) for key in weights)
    return name.startswith(("embeddings.", "layers.", "norm."))


def _rules(weights: Mapping[str, torch.Tensor]) -> tuple[Rule, ...]:
    if any(re.match(r"layers\.\d+\.", key) for key in weights):
        return MMSEG_BEIT_RULES if _is_beit(weights) else MMSEG_VIT_RULES
    if any(key.endswith(".ls1.gamma") for key in weights):
        return DINOV2_VIT_RULES
    return BEIT_RULES if _is_beit(weights) else SCALED_VIT_RULES


def _is_beit(weights: Mapping[str, torch.Tensor]) -> bool:
    return any(key.endswith("relative_position_bias_table") for key in weights)


def _read(source: str | Path | Mapping[str, torch.Tensor], config: ViTEncoderConfig) -> dict[str, torch.Tensor]:
    if isinstance(source, Mapping):
        return dict(source)
    path = Path(source)
    if path.is_dir():
        return read_encoder_weights(str(path)).state_dict
    if path.is_file():
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        if path.suffix == ".npz":
            return _read_npz(path, config)
        return load_checkpoint_file(path).state_dict
    if path.suffix in _FILE_SUFFIXES or isinstance(source, Path) or "/" in str(source) or path.is_dir():
        raise ConversionError(f"{source}: no such file. Expected a file of weights or the name of a timm model.")
    return _from_timm(str(source))


def _from_timm(name: str) -> dict[str, torch.Tensor]:
    import timm  # here, because it is slow to import and most sources are files

    architecture = name.split(".", 1)[0]
    if not timm.is_model(architecture):
        close = difflib.get_close_matches(architecture, timm.list_models("*vit*") + timm.list_models("deit*"), n=3)
        advice = f" Did you mean {' or '.join(close)}?" if close else ""
        raise ConversionError(f"{name!r} is neither a file nor the name of a timm model.{advice}")
    try:
        return timm.create_model(name, pretrained=True, num_classes=0).state_dict()
    except Exception as error:  # timm passes on whatever its download raises
        raise ConversionError(
            f"timm could not give the weights of {name!r} ({one_line(error, longest=300)}). Without network, "
            "pass a local file with these weights (.pth, .safetensors or .npz)."
        ) from error


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ConversionError(f"{path}: expected a safetensors file ({error}).") from error


def _read_npz(path: Path, config: ViTEncoderConfig) -> dict[str, torch.Tensor]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = list(archive.files)
            if not any(name.startswith("Transformer/") for name in names):
                return {name: torch.from_numpy(archive[name]) for name in names}
            shapes = {
                "tokens": archive["Transformer/posembed_input/pos_embedding"].shape[1],
                "patch_size": archive["embedding/kernel"].shape[0],
                "hidden_size": archive["embedding/kernel"].shape[-1],
                "intermediate_size": archive["Transformer/encoderblock_0/MlpBlock_3/Dense_0/kernel"].shape[-1],
            }
    except (ValueError, OSError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ConversionError(f"{path}: expected an .npz file of ViT weights ({error}).") from error
    return _read_jax(path, config, shapes, depth=sum(bool(re.search(r"_\d+/LayerNorm_0/scale$", n)) for n in names))


def _read_jax(path: Path, config: ViTEncoderConfig, shapes: dict[str, int], depth: int) -> dict[str, torch.Tensor]:
    """Google's naming: timm knows how to read it."""
    from timm.models.vision_transformer import VisionTransformer

    vit = VisionTransformer(
        img_size=math.isqrt(shapes["tokens"] - 1) * shapes["patch_size"],
        patch_size=shapes["patch_size"],
        embed_dim=shapes["hidden_size"],
        depth=depth,
        num_heads=config.num_attention_heads,
        mlp_ratio=shapes["intermediate_size"] / shapes["hidden_size"],
        num_classes=0,
    )
    vit.load_pretrained(str(path))
    return vit.state_dict()


def _without_prefix(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    for prefix in ("backbone.", "encoder."):
        if f"{prefix}patch_embed.proj.weight" in weights or f"{prefix}pos_embed" in weights:
            return {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
    return dict(weights)


def _fit_patch_embedding(weights: dict[str, torch.Tensor], config: ViTEncoderConfig) -> tuple[str | None, str]:
    """Makes the first convolution fit, in place, as timm and SETR do: one channel is the sum of red, green and blue.

    Returns:
        The key, if there is none for so many channels and it must start at random, and what was changed.
    """
    for key in ("patch_embed.proj.weight", "patch_embed.projection.weight"):
        if key not in weights:
            continue
        kernel, changes = weights[key], []
        side = config.patch_size
        if kernel.ndim == 2 and kernel.shape[1] % (side * side) == 0:  # a linear layer over flattened patches
            kernel = kernel.reshape(len(kernel), -1, side, side)
            changes.append("as a convolution")
        if kernel.ndim == 4 and kernel.shape[1] == 3 and config.num_channels != 3:
            if config.num_channels != 1:
                return key, ""
            kernel = kernel.float().sum(dim=1, keepdim=True).to(kernel.dtype)
            changes.append("summed over red, green and blue")
        expected = [config.hidden_size, config.num_channels, side, side]
        if list(kernel.shape) != expected:
            raise ConversionError(
                f"{key}: expected {expected} (hidden_size, num_channels, patch_size, patch_size), found "
                f"{list(kernel.shape)}. The weights are those of another size of ViT."
            )
        weights[key] = kernel
        return None, ", ".join(changes)
    return None, ""


def _num_prefix_tokens(weights: Mapping[str, torch.Tensor]) -> int:
    """Rows of the position embeddings that belong to no patch; ViT-Adapter's own files keep one without its token."""
    named = int("cls_token" in weights) + int("dist_token" in weights)
    count = weights["pos_embed"].shape[1]
    return named if named or math.isqrt(count) ** 2 == count else 1


def _fit_position_embeddings(
    weights: Mapping[str, torch.Tensor], config: ViTEncoderConfig, align_corners: bool
) -> tuple[torch.Tensor, str]:
    embeddings = weights["pos_embed"].float()
    if embeddings.ndim != 3:
        raise ConversionError(f"pos_embed: expected three dimensions, found shape {list(embeddings.shape)}.")
    num_prefix_tokens = _num_prefix_tokens(weights)
    side = math.isqrt(embeddings.shape[1] - num_prefix_tokens)
    if side * side + num_prefix_tokens != embeddings.shape[1]:
        raise ConversionError(
            f"pos_embed: expected embeddings of {num_prefix_tokens} token(s) and a square patch grid, found shape "
            f"{list(embeddings.shape)}."
        )
    changes = []
    if "dist_token" in weights and not config.use_distillation_token:
        embeddings = torch.cat([embeddings[:, :1], embeddings[:, 2:]], dim=1)
        num_prefix_tokens -= 1
        changes.append("without the distillation token's row")
    if num_prefix_tokens and not config.use_class_token:
        embeddings = embeddings[:, 1:]
        num_prefix_tokens -= 1
        changes.append("without the class token's row")
    grid = config.patch_grid
    if grid != (side, side):
        embeddings = resize_position_embeddings(
            embeddings,
            num_prefix_tokens=num_prefix_tokens,
            grid=(side, side),
            new_grid=grid,
            mode=config.position_embedding_interpolation,
            align_corners=align_corners,
        )
        changes.append(f"resized from {side}x{side} to {grid[0]}x{grid[1]} patches")
    return embeddings, ", ".join(changes)


__all__ = ["load_pretrained_encoder"]
