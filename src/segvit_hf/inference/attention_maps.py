"""What a token attends to, as maps over the patch grid.

Tokens are the patches and the class token of an encoder, or the patches and class embeddings of Segmenter's mask
transformer.

Follows show_attn_map.py of Segmenter (Strudel et al., 2021, https://github.com/rstrudel/segmenter).
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from segvit_hf.encoders.vit import ViTEncoder
from segvit_hf.models.segmenter.modeling_segmenter import SegmenterMaskTransformer

Part = Literal["encoder", "decoder"]


@dataclass(frozen=True)
class AttentionMaps:
    """The attention of some queries, and what the model made of the same input.

    Attributes:
        maps: (num_heads, num_queries, rows, columns), float32 on the CPU: the share of each query's attention that
            goes to each patch. What goes to class tokens and class embeddings is missing from the sum of 1.
        logits: (num_labels, height, width), float32 on the CPU.
    """

    maps: torch.Tensor
    logits: torch.Tensor


def attention_maps(
    model: nn.Module,
    pixel_values: torch.Tensor,
    *,
    part: Part = "encoder",
    layer: int = 0,
    patch: tuple[int, int] | None = None,
) -> AttentionMaps:
    """The attention of one patch, of the encoder's class token or of the decoder's class embeddings.

    Only the probabilities of the one layer are computed explicitly, so that any model and input that fit into memory
    otherwise also do here.

    Args:
        model: A model of this package, in eval mode.
        pixel_values: (1, channels, height, width). The input is run as a whole, without windows.
        part: `"encoder"`, or `"decoder"` for a Segmenter with mask transformer.
        layer: 0-based.
        patch: (x, y), the column and the row of the patch whose attention is wanted. `None`: the class token of the
            encoder (one query), or the class embeddings of the decoder (one query per class).

    Raises:
        ValueError: The model has no such part, layer, patch or token.
    """
    if pixel_values.ndim != 4 or len(pixel_values) != 1:
        raise ValueError(f"pixel_values: expected (1, channels, height, width), found {tuple(pixel_values.shape)}.")
    layers = _layers(model, part)
    if not 0 <= layer < len(layers):
        raise ValueError(f"layer {layer}: the {part} has the layers 0 to {len(layers) - 1}.")
    config: Any = model.config
    if part == "encoder" and config.shrink_index is not None and layer >= config.shrink_index:
        raise ValueError(f"layer {layer}: from layer {config.shrink_index} on, this encoder drops patches.")
    grid = _patch_grid(pixel_values, config.patch_size)
    num_prefix_tokens = 0 if part == "decoder" or config.drop_prefix_tokens else config.num_prefix_tokens
    first, last = _queries(config, part, patch, grid, num_prefix_tokens)
    probabilities, logits = _run(model, layers[layer], pixel_values)
    num_patches = grid[0] * grid[1]
    maps = probabilities[0, :, first:last, num_prefix_tokens : num_prefix_tokens + num_patches]
    return AttentionMaps(maps.unflatten(2, grid).float().cpu(), logits[0].float().cpu())


def _layers(model: nn.Module, part: Part) -> nn.ModuleList:
    if part == "encoder":
        encoder = getattr(model, "encoder", None)
        if not isinstance(encoder, ViTEncoder):
            raise ValueError(f"{type(model).__name__}: expected a model with a plain ViT as its encoder.")
        return encoder.layers
    decoder = getattr(model, "decoder", None)
    if not isinstance(decoder, SegmenterMaskTransformer):
        raise ValueError(
            f"{type(model).__name__} with {type(decoder).__name__}: only Segmenter's mask transformer has attention "
            "maps of a decoder."
        )
    return decoder.layers


def _patch_grid(pixel_values: torch.Tensor, patch_size: int) -> tuple[int, int]:
    height, width = pixel_values.shape[-2:]
    return -(-height // patch_size), -(-width // patch_size)


def _queries(
    config: Any, part: Part, patch: tuple[int, int] | None, grid: tuple[int, int], num_prefix_tokens: int
) -> tuple[int, int]:
    """First token whose attention is wanted, and the one after the last."""
    if patch is not None:
        x, y = patch
        rows, columns = grid
        if not (0 <= x < columns and 0 <= y < rows):
            raise ValueError(f"patch {x},{y}: x must be from 0 to {columns - 1} and y from 0 to {rows - 1}.")
        first = num_prefix_tokens + y * columns + x
        return first, first + 1
    if part == "decoder":
        num_patches = grid[0] * grid[1]
        return num_patches, num_patches + config.num_labels
    if num_prefix_tokens == 0 or not config.use_class_token:
        raise ValueError("This encoder has no class token in its layers: choose a patch.")
    return 0, 1


def _run(model: nn.Module, layer: nn.Module, pixel_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The layer's attention probabilities (1, num_heads, num_tokens, num_tokens), and the model's logits."""
    attention: Any = layer.attention
    captured: list[torch.Tensor] = []

    def ask(_module: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return args, {**kwargs, "output_attentions": True}

    def capture(_module: nn.Module, _args: Any, output: tuple[torch.Tensor, torch.Tensor]) -> None:
        captured.append(output[1])

    handles = [attention.register_forward_pre_hook(ask, with_kwargs=True), attention.register_forward_hook(capture)]
    try:
        with torch.no_grad():
            logits = model.encode_decode(pixel_values).logits  # type: ignore[operator]
    finally:
        for handle in handles:
            handle.remove()
    return captured[0], logits


__all__ = ["AttentionMaps", "attention_maps"]
