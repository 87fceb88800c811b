"""The fields of a plain vision-transformer encoder, shared by every architecture's configuration."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from segvit_hf._compat import strict
from segvit_hf.encoders.configuration_backbone import BackboneFields

Interpolation = Literal["bicubic", "bilinear"]
ResizeBy = Literal["grid", "count"]


def as_pair(size: int | Sequence[int]) -> tuple[int, int]:
    """`(height, width)` of a size that is written as one number or as a pair."""
    return (size, size) if isinstance(size, int) else (size[0], size[1])


@strict
class ViTEncoderConfig(BackboneFields):
    r"""What a plain ViT encoder is made of. Variants of the encoder are values of these fields, never subclasses.

    Args:
        image_size (`int` or `(height, width)`, defaults to 512):
            Input size in pixels whose patch grid the position embeddings are stored for.
        patch_size (`int`, defaults to 16): Side of a patch in pixels.
        patch_bias (`bool`, defaults to `True`): Whether the convolution that makes tokens of patches has a bias.
        hidden_size, num_hidden_layers, num_attention_heads, intermediate_size, hidden_act:
            Width, depth, heads, width of the feed-forward layer and its activation.
        use_gated_mlp (`bool`, defaults to `False`):
            Whether the feed-forward layer is gated (SwiGLU with `hidden_act = "silu"`).
        hidden_dropout_prob, attention_probs_dropout_prob (`float`, defaults to 0): Dropout probabilities.
        drop_path_rate (`float`, defaults to 0): Stochastic depth of the last layer; it rises linearly from 0.
        drop_path_on_attention (`bool`, defaults to `True`):
            Whether stochastic depth also drops the attention branch (timm) or the feed-forward branch only (mmseg).
        use_class_token, use_distillation_token (`bool`): Tokens in front of the patches.
        drop_prefix_tokens (`bool`, defaults to `False`):
            Whether those tokens are removed once position embeddings are added, before the first layer.
        use_final_norm (`bool`, defaults to `False`): Whether the last layer's output is normalized.
        normalize_feature_maps (`bool`, defaults to `False`):
            Whether the final norm also acts on the other layers of `encoder_out_indices`, where a decoder reads them.
        layer_scale_init_value (`float`, *optional*):
            Initial value of the per-channel factors of the two residual branches of a layer. `None`: no such factors.
        use_position_embeddings (`bool`, defaults to `True`): Whether learned position embeddings are added.
        use_relative_position_bias (`bool`, defaults to `False`):
            Whether attention is BEiT's: a learned bias per head and distance between patches, which needs the class
            token, and no bias of the keys.
        position_embedding_interpolation (`"bicubic"` or `"bilinear"`): For inputs of another size.
        position_embedding_resize_by (`"grid"` or `"count"`):
            Whether embeddings are resized when the patch grid differs, or only when the number of patches does.
        position_embedding_offset (`float`, defaults to 0):
            What a resize adds to the wanted number of rows and columns when it makes its scale of them (DINOv2: 0.1).
        encoder_out_indices (`list[int]`, *optional*):
            0-based layers whose outputs the decoder reads, ascending. Defaults to the last layer.
        shrink_index (`int`, *optional*):
            Layer whose queries are every second token in both directions, so that all layers from there on work on a
            quarter of the tokens (SegViT's Shrunk encoder).
        shrink_edge_budget (`int`, defaults to 0):
            UNVERIFIED, our reading of SegViTv2's Shrunk++, whose mechanism was not published: how many tokens beside
            these are kept where edges are predicted, the same number for every image.

    The fields of a transformers backbone in the ViT's place are those of [`BackboneFields`].
    """

    model_type = "segvit_hf_vit_encoder"
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
    use_gated_mlp: bool = False
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
    normalize_feature_maps: bool = False
    layer_scale_init_value: float | int | None = None
    use_position_embeddings: bool = True
    use_relative_position_bias: bool = False
    position_embedding_interpolation: Interpolation = "bicubic"
    position_embedding_resize_by: ResizeBy = "grid"
    position_embedding_offset: float | int = 0.0
    encoder_out_indices: list[int] | tuple[int, ...] | None = None
    shrink_index: int | None = None
    shrink_edge_budget: int = 0

    if TYPE_CHECKING:
        num_labels: int  # the base class's property, which is never None in a segmentation model

    def __post_init__(self, **kwargs: Any) -> None:
        self.read_backbone_config()
        if self.encoder_out_indices is None:
            self.encoder_out_indices = [self.num_hidden_layers - 1]
        self.encoder_out_indices = list(self.encoder_out_indices)
        self.write_backbone_config()
        super().__post_init__(**kwargs)

    def validate_architecture(self) -> None:
        """Part of `@strict` validation: fields that contradict each other are an error that names them."""
        super().validate_architecture()
        self.validate_backbone()
        if not 0 <= self.position_embedding_offset < 1:
            raise ValueError(
                "position_embedding_offset: expected at least 0 and less than 1, found "
                f"{self.position_embedding_offset}."
            )
        if self.backbone_config is None and self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size ({self.hidden_size}) must be a multiple of num_attention_heads "
                f"({self.num_attention_heads})."
            )
        if self.backbone_config is None and any(side % self.patch_size for side in as_pair(self.image_size)):
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
        self._check_feature_maps()
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

    def _check_feature_maps(self) -> None:
        out_indices = list(self.encoder_out_indices or [])
        if out_indices != sorted(set(out_indices)) or not all(0 <= i < self.num_hidden_layers for i in out_indices):
            raise ValueError(
                "encoder_out_indices must be ascending 0-based layers of the encoder "
                f"(num_hidden_layers = {self.num_hidden_layers}), found {out_indices}."
            )
        if self.normalize_feature_maps and not self.use_final_norm:
            raise ValueError("normalize_feature_maps needs use_final_norm = True, found False.")

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
