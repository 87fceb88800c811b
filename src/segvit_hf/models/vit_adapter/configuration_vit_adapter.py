"""ViT-Adapter's configuration."""

from itertools import pairwise
from typing import Any, Literal

from segvit_hf._compat import BackboneConfigMixin, strict
from segvit_hf.encoders.configuration_vit_adapter import NUM_FEATURE_MAPS, ViTAdapterEncoderConfig
from segvit_hf.models.configuration import SemanticSegmentationConfig


@strict
class VitAdapterConfig(BackboneConfigMixin, SemanticSegmentationConfig, ViTAdapterEncoderConfig):
    r"""Configuration of [`VitAdapterForSemanticSegmentation`] and [`VitAdapterBackbone`].

    The defaults are ViT-Adapter-T with UperNet, whose position embeddings are those of DeiT-T (224x224).

    The encoder's fields are those of [`ViTAdapterEncoderConfig`], labels and windows are described in
    [`SemanticSegmentationConfig`]. The decoders':

    Args:
        decoder_type (`"upernet"` or `"mask2former"`, defaults to `"upernet"`): Which decoder reads the feature maps.
        decoder_hidden_size (`int`, defaults to 512): Channels of the decoder.
        decoder_dropout (`float`, defaults to 0.1): UperNet: dropout of whole channels before the classifiers.
        pool_scales (`list[int]`, defaults to `[1, 2, 3, 6]`): UperNet: sides of the pooled maps.
        use_auxiliary_head (`bool`, defaults to `True`): UperNet: whether a convolutional head on one map trains along.
        auxiliary_hidden_size, auxiliary_num_convolutions, auxiliary_map_index, auxiliary_loss_weight:
            UperNet: channels, convolutions, feature map and loss weight of that head (256, 1, 2 and 0.4).
        num_queries (`int`, defaults to 100): Mask2Former: number of masks that are predicted.
        mask_feature_size (`int`, *optional*): Mask2Former: channels of the map that masks are read from. Defaults to
            `decoder_hidden_size`.
        pixel_decoder_num_layers, pixel_decoder_num_attention_heads, pixel_decoder_intermediate_size,
        pixel_decoder_num_points:
            Mask2Former: the deformable-attention layers of the pixel decoder (6, 8, 1024 and 4).
        decoder_num_layers, decoder_num_attention_heads, decoder_intermediate_size:
            Mask2Former: the masked-attention layers (9, 8 and 2048).
        resize_mask_logits (`bool`, defaults to `False`):
            Mask2Former: whether the mask logits are resized to the input before they become probabilities and are
            summed over queries (DINOv3), and not the scores that come out (ViT-Adapter).
        class_loss_weight, mask_loss_weight, dice_loss_weight, no_object_weight:
            Mask2Former: weights of the training loss and of the matching cost (2, 5, 5) and of the class "no object"
            (0.1).
        num_points, oversample_ratio, importance_sample_ratio:
            Mask2Former: points per mask at which the loss is taken (12544), the surplus of candidates among which
            uncertain ones are chosen (3.0), and the share that is chosen so (0.75).
        out_features, out_indices: Of the backbone: among `"stem"` (the spatial prior's map at stride 4) and
            `"stage1"` to `"stage4"` (the feature maps), or 0 to 4; the four feature maps by default.

    Example:
    ```python
    >>> from segvit_hf import VitAdapterConfig, VitAdapterForSemanticSegmentation

    >>> model = VitAdapterForSemanticSegmentation(VitAdapterConfig(num_labels=150))
    ```
    """

    model_type = "vit_adapter"
    positive_fields = (
        *ViTAdapterEncoderConfig.positive_fields,
        "decoder_hidden_size",
        "auxiliary_hidden_size",
        "num_queries",
        "mask_feature_size",
        "pixel_decoder_num_attention_heads",
        "decoder_num_attention_heads",
    )
    probability_fields = (*ViTAdapterEncoderConfig.probability_fields, "decoder_dropout")

    image_size: int | list[int] | tuple[int, int] = 224
    hidden_size: int = 192
    num_attention_heads: int = 3
    intermediate_size: int = 768
    drop_path_rate: float | int = 0.1

    decoder_type: Literal["upernet", "mask2former"] = "upernet"
    decoder_hidden_size: int = 512
    decoder_dropout: float | int = 0.1
    pool_scales: list[int] | tuple[int, ...] = (1, 2, 3, 6)
    use_auxiliary_head: bool = True
    auxiliary_hidden_size: int = 256
    auxiliary_num_convolutions: int = 1
    auxiliary_map_index: int = 2
    auxiliary_loss_weight: float | int = 0.4
    num_queries: int = 100
    mask_feature_size: int | None = None
    pixel_decoder_num_layers: int = 6
    pixel_decoder_num_attention_heads: int = 8
    pixel_decoder_intermediate_size: int = 1024
    pixel_decoder_num_points: int = 4
    decoder_num_layers: int = 9
    decoder_num_attention_heads: int = 8
    decoder_intermediate_size: int = 2048
    resize_mask_logits: bool = False
    class_loss_weight: float | int = 2.0
    mask_loss_weight: float | int = 5.0
    dice_loss_weight: float | int = 5.0
    no_object_weight: float | int = 0.1
    num_points: int = 12544
    oversample_ratio: float | int = 3.0
    importance_sample_ratio: float | int = 0.75
    _out_features: list[str] | None = None
    _out_indices: list[int] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        self.pool_scales = list(self.pool_scales)
        self.stage_names = ["stem", *(f"stage{index + 1}" for index in range(NUM_FEATURE_MAPS))]
        # All four feature maps unless the caller names some; naming neither explicitly (None) is transformers' way to
        # ask for the last one.
        defaults = {"out_features": self.stage_names[1:]} if not {"out_features", "out_indices"} & set(kwargs) else {}
        out_features = kwargs.pop("out_features", defaults.get("out_features"))
        out_indices = kwargs.pop("out_indices", None)
        self.set_output_features_output_indices(out_indices=out_indices, out_features=out_features)
        super().__post_init__(**kwargs)

    @property
    def depths(self) -> list[int]:
        """Number of ViT layers in each interaction with the adapter."""
        ends = [-1, *(self.encoder_out_indices or [])]
        return [last - first for first, last in pairwise(ends)]

    def validate_architecture(self) -> None:
        """Part of `@strict` validation: fields that contradict each other are an error that names them."""
        super().validate_architecture()
        if not 0 <= self.auxiliary_map_index < NUM_FEATURE_MAPS:
            raise ValueError(
                f"auxiliary_map_index must lie between 0 and {NUM_FEATURE_MAPS - 1}, found {self.auxiliary_map_index}."
            )
        if self.decoder_type == "mask2former":
            self._validate_mask2former()

    def _validate_mask2former(self) -> None:
        for name in ("pixel_decoder_num_attention_heads", "decoder_num_attention_heads"):
            if self.decoder_hidden_size % getattr(self, name):
                raise ValueError(
                    f"decoder_hidden_size ({self.decoder_hidden_size}) must be a multiple of {name} "
                    f"({getattr(self, name)})."
                )
        if self.decoder_hidden_size % 32:
            raise ValueError(
                "decoder_hidden_size must be a multiple of 32, the groups of the pixel decoder's normalization, found "
                f"{self.decoder_hidden_size}."
            )
        if self.oversample_ratio < 1 or not 0 <= self.importance_sample_ratio <= 1 or self.num_points < 1:
            raise ValueError(
                "oversample_ratio must be at least 1, importance_sample_ratio lie in 0..1, and num_points be positive,"
                f" found {self.oversample_ratio}, {self.importance_sample_ratio} and {self.num_points}."
            )


__all__ = ["VitAdapterConfig"]
