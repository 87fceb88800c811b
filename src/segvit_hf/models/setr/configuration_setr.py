"""SETR's configuration."""

import math
from typing import Any, Literal

from segvit_hf._compat import strict
from segvit_hf.encoders.configuration_vit import Interpolation, ViTEncoderConfig
from segvit_hf.models.configuration import SemanticSegmentationConfig

# The layers that the original's configurations read, as shares of the encoder's depth.
_UPSAMPLING_LAYERS = (10 / 24, 15 / 24, 20 / 24, 1)
_MLA_LAYERS = (1 / 4, 2 / 4, 3 / 4, 1)
# What `decoder_type` says of the fields that are left open: those of the original's configurations.
_TYPE_DEFAULTS: dict[str, dict[str, Any]] = {
    "naive": {
        "drop_prefix_tokens": False,
        "decoder_num_convolutions": 1,
        "decoder_kernel_size": 1,
        "decoder_upsampling": 1,
        "auxiliary_upsampling": 1,
        "auxiliary_classifier_bias": True,
    },
    "pup": {
        "drop_prefix_tokens": False,
        "decoder_num_convolutions": 4,
        "decoder_kernel_size": 3,
        "decoder_upsampling": 2,
        "auxiliary_upsampling": 4,
        "auxiliary_classifier_bias": True,
    },
    "mla": {
        "drop_prefix_tokens": True,
        "decoder_num_convolutions": 2,
        "decoder_kernel_size": 3,
        "decoder_upsampling": 4,
        "auxiliary_upsampling": 1,
        "auxiliary_classifier_bias": False,
    },
}


@strict
class SetrConfig(SemanticSegmentationConfig, ViTEncoderConfig):
    r"""Configuration of [`SetrForSemanticSegmentation`]; the defaults are SETR-PUP with ViT-L at 512x512.

    The encoder's fields are those of [`ViTEncoderConfig`]; of these, `encoder_out_indices` defaults to the layers that
    the original reads ((9, 14, 19, 23) of 24 layers, MLA (5, 11, 17, 23)) and `drop_prefix_tokens` to what it does
    (`True` for MLA, whose layers never see the class token). Labels and windows are described in
    [`SemanticSegmentationConfig`]. The decoder's:

    Args:
        decoder_type (`"naive"`, `"pup"` or `"mla"`, defaults to `"pup"`):
            Naive and progressive upsampling decode the deepest feature map; multi-level aggregation all of them.
        decoder_hidden_size (`int`, defaults to 256):
            Width of the naive and progressive decoders' convolutions, and of the maps that MLA aggregates.
        decoder_num_convolutions (`int`, *optional*):
            Convolutions before the classifier, each with batch norm and ReLU: 1 (naive), 4 (pup), 2 per level (mla).
        decoder_kernel_size (`int`, *optional*): Of those convolutions: 1 (naive), 3 (pup, mla).
        decoder_upsampling (`int`, *optional*):
            Factor of the bilinear upsampling that follows every convolution: 1 (naive), 2 (pup). MLA upsamples
            once, by 4.
        decoder_convolution_bias (`bool`, defaults to `True`):
            Whether the naive and progressive decoders' convolutions have a bias.
        mla_head_hidden_size (`int`, defaults to 128): MLA: width of every level's convolutions.
        mla_classifier_kernel_size (`int`, defaults to 3): MLA: kernel of the classifier.
        mla_align_corners (`bool`, defaults to `True`): MLA: whether the upsampling aligns corners.
        mla_deepest_first (`bool`, defaults to `False`):
            MLA: whether aggregated maps are counted from the deepest layer (mmsegmentation) or from the shallowest.
        auxiliary_in_indices (`list[int]`, *optional*):
            One auxiliary head each: which feature map it reads (of `encoder_out_indices`; MLA: of the aggregated
            maps). Defaults to every one, except the deepest for the naive decoder; empty for no auxiliary heads,
            which only take part in the training loss.
        auxiliary_num_convolutions (`int`, defaults to 1): As `decoder_num_convolutions`; MLA's have none.
        auxiliary_kernel_size (`int`, *optional*): Defaults to `decoder_kernel_size`.
        auxiliary_upsampling (`int`, *optional*): As `decoder_upsampling`: 1 (naive), 4 (pup).
        auxiliary_classifier_bias (`bool`, *optional*):
            Whether the auxiliary classifiers have a bias. Defaults to `True`, for MLA to `False`.
        auxiliary_loss_weight (`float`, defaults to 0.4): Of every auxiliary head.
        classifier_dropout (`float`, defaults to 0):
            Probability with which a channel in front of a classifier is dropped in training (mmsegmentation).

    Example:
    ```python
    >>> from segvit_hf import SetrConfig, SetrForSemanticSegmentation

    >>> model = SetrForSemanticSegmentation(SetrConfig(num_labels=150))
    ```
    """

    model_type = "setr"
    fixed_fields = {"shrink_index": None}
    positive_fields = (
        *ViTEncoderConfig.positive_fields,
        "decoder_hidden_size",
        "decoder_num_convolutions",
        "decoder_upsampling",
        "mla_head_hidden_size",
        "auxiliary_num_convolutions",
        "auxiliary_upsampling",
    )
    probability_fields = (*ViTEncoderConfig.probability_fields, "classifier_dropout")

    hidden_size: int = 1024
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    intermediate_size: int = 4096
    drop_prefix_tokens: bool | None = None  # type: ignore[assignment]
    position_embedding_interpolation: Interpolation = "bilinear"

    decoder_type: Literal["naive", "pup", "mla"] = "pup"
    decoder_hidden_size: int = 256
    decoder_num_convolutions: int | None = None
    decoder_kernel_size: int | None = None
    decoder_upsampling: int | None = None
    decoder_convolution_bias: bool = True
    mla_head_hidden_size: int = 128
    mla_classifier_kernel_size: int = 3
    mla_align_corners: bool = True
    mla_deepest_first: bool = False
    auxiliary_in_indices: list[int] | tuple[int, ...] | None = None
    auxiliary_num_convolutions: int = 1
    auxiliary_kernel_size: int | None = None
    auxiliary_upsampling: int | None = None
    auxiliary_classifier_bias: bool | None = None
    auxiliary_loss_weight: float | int = 0.4
    classifier_dropout: float | int = 0.0

    def __post_init__(self, **kwargs: Any) -> None:
        self.read_backbone_config()
        for name, value in _TYPE_DEFAULTS[self.decoder_type].items():
            if getattr(self, name) is None:
                setattr(self, name, value)
        if self.auxiliary_kernel_size is None:
            self.auxiliary_kernel_size = self.decoder_kernel_size
        if self.encoder_out_indices is None:
            shares = _MLA_LAYERS if self.decoder_type == "mla" else _UPSAMPLING_LAYERS
            self.encoder_out_indices = sorted({math.ceil(self.num_hidden_layers * share) - 1 for share in shares})
        if self.auxiliary_in_indices is None:
            self.auxiliary_in_indices = list(range(len(self.encoder_out_indices) - (self.decoder_type == "naive")))
        self.auxiliary_in_indices = list(self.auxiliary_in_indices)
        super().__post_init__(**kwargs)

    def validate_architecture(self) -> None:
        """Part of `@strict` validation: fields that contradict each other are an error that names them."""
        super().validate_architecture()
        num_feature_maps = len(self.encoder_out_indices or [])
        if not all(0 <= index < num_feature_maps for index in self.auxiliary_in_indices or []):
            raise ValueError(
                f"auxiliary_in_indices must lie between 0 and {num_feature_maps - 1}, the feature maps of "
                f"encoder_out_indices = {self.encoder_out_indices}, found {self.auxiliary_in_indices}."
            )
        for name in ("decoder_kernel_size", "auxiliary_kernel_size", "mla_classifier_kernel_size"):
            if (getattr(self, name) or 1) % 2 == 0:
                raise ValueError(f"{name} must be odd, found {getattr(self, name)}.")


__all__ = ["SetrConfig"]
