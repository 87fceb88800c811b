"""The fields of a plain vision-transformer encoder, shared by every architecture's configuration."""

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from transformers import PreTrainedConfig

from segvit_hf._compat import strict

Interpolation = Literal["bicubic", "bilinear"]
ResizeBy = Literal["grid", "count"]

# What is built one after the other. A million layers would be built for hours, whatever their size; no ViT has 100.
_IS_DEPTH = re.compile(r"num_(\w+_)?(layers|convolutions)$")
_DEEPEST = 1000


def as_pair(size: int | Sequence[int]) -> tuple[int, int]:
    """`(height, width)` of a size that is written as one number or as a pair."""
    return (size, size) if isinstance(size, int) else (size[0], size[1])


@strict
class ViTEncoderConfig(PreTrainedConfig):
    r"""What a plain ViT encoder is made of. Variants of the encoder are values of these fields, never subclasses.

    Args:
        image_size (`int` or `(height, width)`, defaults to 512):
            Input size in pixels whose patch grid the position embeddings are stored for.
        patch_size (`int`, defaults to 16): Side of a patch in pixels.
        patch_bias (`bool`, defaults to `True`): Whether the convolution that makes tokens of patches has a bias.
        hidden_size, num_hidden_layers, num_attention_heads, intermediate_size, hidden_act:
            Width, depth, heads, width of the feed-forward layer and its activation.
        hidden_dropout_prob, attention_probs_dropout_prob (`float`, defaults to 0): Dropout probabilities.
        drop_path_rate (`float`, defaults to 0): Stochastic depth of the last layer; it rises linearly from 0.
        drop_path_on_attention (`bool`, defaults to `True`):
            Whether stochastic depth also drops the attention branch (timm) or the feed-forward branch only (mmseg).
        use_class_token, use_distillation_token (`bool`): Tokens in front of the patches.
        drop_prefix_tokens (`bool`, defaults to `False`):
            Whether those tokens are removed once position embeddings are added, before the first layer.
        use_final_norm (`bool`, defaults to `False`): Whether the last layer's output is normalized.
        layer_scale_init_value (`float`, *optional*):
            Initial value of the per-channel factors of the two residual branches of a layer. `None`: no such factors.
        use_position_embeddings (`bool`, defaults to `True`): Whether learned position embeddings are added.
        use_relative_position_bias (`bool`, defaults to `False`):
            Whether attention is BEiT's: a learned bias per head and distance between patches, which needs the class
            token, and no bias of the keys.
        position_embedding_interpolation (`"bicubic"` or `"bilinear"`): For inputs of another size.
        position_embedding_resize_by (`"grid"` or `"count"`):
            Whether embeddings are resized when the patch grid differs, or only when the number of patches does.
        encoder_out_indices (`list[int]`, *optional*):
            0-based layers whose outputs the decoder reads, ascending. Defaults to the last layer.
        shrink_index (`int`, *optional*):
            Layer whose queries are every second token in both directions, so that all layers from there on work on a
            quarter of the tokens (SegViT's Shrunk encoder).
        shrink_edge_budget (`int`, defaults to 0):
            UNVERIFIED, our reading of SegViTv2's Shrunk++, whose mechanism was not published: how many tokens beside
            these are kept where edges are predicted, the same number for every image.
    """

    model_type = "segvit_hf_vit_encoder"
    # Fields that an architecture does not have, and the value that they must keep.
    fixed_fields: ClassVar[dict[str, Any]] = {}
    # Sizes and counts, single or pairs, and rates. Architectures add those of their decoders.
    positive_fields: ClassVar[tuple[str, ...]] = (
        "image_size",
        "patch_size",
        "num_channels",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
    )
    probability_fields: ClassVar[tuple[str, ...]] = (
        "hidden_dropout_prob",
        "attention_probs_dropout_prob",
        "drop_path_rate",
    )

    image_size: int | list[int] | tuple[int, int] = 512
    patch_size: int = 16
    num_channels: int = 3
    patch_bias: bool = True
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float | int = 0.0
    attention_probs_dropout_prob: float | int = 0.0
    drop_path_rate: float | int = 0.0
    drop_path_on_attention: bool = True
    layer_norm_eps: float = 1e-6
    qkv_bias: bool = True
    initializer_range: float = 0.02
    use_class_token: bool = True
    use_distillation_token: bool = False
    drop_prefix_tokens: bool = False
    use_final_norm: bool = False
    layer_scale_init_value: float | int | None = None
    use_position_embeddings: bool = True
    use_relative_position_bias: bool = False
    position_embedding_interpolation: Interpolation = "bicubic"
    position_embedding_resize_by: ResizeBy = "grid"
    encoder_out_indices: list[int] | tuple[int, ...] | None = None
    shrink_index: int | None = None
    shrink_edge_budget: int = 0

    if TYPE_CHECKING:
        num_labels: int  # the base class's property, which is never None in a segmentation model

    def __post_init__(self, **kwargs: Any) -> None:
        if self.encoder_out_indices is None:
            self.encoder_out_indices = [self.num_hidden_layers - 1]
        self.encoder_out_indices = list(self.encoder_out_indices)
        super().__post_init__(**kwargs)

    def validate_architecture(self) -> None:
        """Part of `@strict` validation: fields that contradict each other are an error that names them."""
        self._check_numbers()
        for name, value in self.fixed_fields.items():
            if getattr(self, name) != value:
                raise ValueError(
                    f"{name}: expected {value!r}, for {type(self).__name__} has no other form, found "
                    f"{getattr(self, name)!r}."
                )
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size ({self.hidden_size}) must be a multiple of num_attention_heads "
                f"({self.num_attention_heads})."
            )
        if any(side % self.patch_size for side in as_pair(self.image_size)):
            raise ValueError(f"image_size ({self.image_size}) must be a multiple of patch_size ({self.patch_size}).")
        if self.use_relative_position_bias and self.num_prefix_tokens != 1:
            raise ValueError(
                "use_relative_position_bias needs exactly one prefix token: use_class_token = True and "
                f"use_distillation_token = False, found {self.use_class_token} and {self.use_distillation_token}."
            )
        if self.use_relative_position_bias and (self.drop_prefix_tokens or self.shrink_index is not None):
            raise ValueError(
                "use_relative_position_bias goes neither with drop_prefix_tokens nor with shrink_index, found "
                f"{self.drop_prefix_tokens} and {self.shrink_index}."
            )
        out_indices = list(self.encoder_out_indices or [])
        if out_indices != sorted(set(out_indices)) or not all(0 <= i < self.num_hidden_layers for i in out_indices):
            raise ValueError(
                "encoder_out_indices must be ascending 0-based layers of the encoder "
                f"(num_hidden_layers = {self.num_hidden_layers}), found {out_indices}."
            )
        if self.shrink_edge_budget and (self.shrink_edge_budget < 0 or self.shrink_index is None):
            raise ValueError(
                f"shrink_edge_budget: expected 0, or more with a shrink_index, found {self.shrink_edge_budget} with "
                f"{self.shrink_index}."
            )
        if self.shrink_index is not None and not 0 <= self.shrink_index < self.num_hidden_layers:
            raise ValueError(
                f"shrink_index must be a layer of the encoder (num_hidden_layers = {self.num_hidden_layers}), "
                f"found {self.shrink_index}."
            )

    def _check_numbers(self) -> None:
        for name in self.positive_fields:
            value = getattr(self, name)
            if value is not None and min(as_pair(value)) < 1:
                raise ValueError(f"{name}: expected at least 1, found {value}.")
        for name in self.probability_fields:
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise ValueError(f"{name}: expected a probability of at least 0 and less than 1, found {value}.")
        for name, value in vars(self).items():
            if _IS_DEPTH.search(name) and isinstance(value, int) and value > _DEEPEST:
                raise ValueError(f"{name}: expected at most {_DEEPEST}, found {value}.")
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name}: expected a finite number, found {value}.")

    @property
    def patch_grid(self) -> tuple[int, int]:
        """Rows and columns of patches that the stored position embeddings cover."""
        height, width = as_pair(self.image_size)
        return height // self.patch_size, width // self.patch_size

    @property
    def num_prefix_tokens(self) -> int:
        """Number of tokens in front of the patches when position embeddings are added."""
        return int(self.use_class_token) + int(self.use_distillation_token)


__all__ = ["Interpolation", "ResizeBy", "ViTEncoderConfig", "as_pair"]
