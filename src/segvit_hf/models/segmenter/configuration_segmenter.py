"""Segmenter's configuration."""

from typing import Any, Literal

from segvit_hf._compat import strict
from segvit_hf.encoders.configuration_vit import Interpolation, ResizeBy, ViTEncoderConfig
from segvit_hf.models.class_groups import ClassGroupsConfig

# The original gives its mask transformer one head per so many channels.
DECODER_HEAD_SIZE = 64


@strict
class SegmenterConfig(ClassGroupsConfig, ViTEncoderConfig):
    r"""Configuration of [`SegmenterForSemanticSegmentation`]; the defaults are Seg-B-Mask/16 at 512x512.

    The encoder's fields are those of [`ViTEncoderConfig`], labels and windows are described in
    [`SemanticSegmentationConfig`] (photos smaller than the window are the image processor's matter, see its
    `minimum_input_short_edge`), steps in which the mask transformer's classes were learned in [`ClassGroupsConfig`].
    The decoder's:

    Args:
        decoder_type (`"mask_transformer"` or `"linear"`):
            The fields below, up to `decoder_drop_path_rate`, belong to the mask transformer.
        decoder_num_layers (`int`, defaults to 2): Layers in which patches and class embeddings attend to each other.
        decoder_hidden_size (`int`, *optional*): Defaults to `hidden_size`.
        decoder_num_attention_heads (`int`, *optional*): Defaults to one head per 64 channels.
        decoder_intermediate_size (`int`, *optional*): Defaults to four times `decoder_hidden_size`.
        decoder_dropout (`float`, defaults to 0.1): Attention probabilities included.
        decoder_drop_path_rate (`float`, defaults to 0): Stochastic depth of the last layer.
        crop_padded_logits (`bool`, defaults to `True`):
            Inputs are padded to a multiple of the patch size. Either the logits are resized to the padded size and
            cropped (the original), or resized to the input's size (`False`, mmsegmentation).

    Example:
    ```python
    >>> from segvit_hf import SegmenterConfig, SegmenterForSemanticSegmentation

    >>> model = SegmenterForSemanticSegmentation(SegmenterConfig(num_labels=150))
    ```
    """

    model_type = "segmenter"
    fixed_fields = {"shrink_index": None}
    positive_fields = (
        *ViTEncoderConfig.positive_fields,
        "decoder_hidden_size",
        "decoder_num_attention_heads",
        "decoder_intermediate_size",
    )
    probability_fields = (*ViTEncoderConfig.probability_fields, "decoder_dropout", "decoder_drop_path_rate")

    drop_path_rate: float | int = 0.1
    layer_norm_eps: float = 1e-5
    use_final_norm: bool = True
    position_embedding_interpolation: Interpolation = "bilinear"
    position_embedding_resize_by: ResizeBy = "count"

    decoder_type: Literal["mask_transformer", "linear"] = "mask_transformer"
    decoder_num_layers: int = 2
    decoder_hidden_size: int | None = None
    decoder_num_attention_heads: int | None = None
    decoder_intermediate_size: int | None = None
    decoder_dropout: float | int = 0.1
    decoder_drop_path_rate: float | int = 0.0
    crop_padded_logits: bool = True

    def __post_init__(self, **kwargs: Any) -> None:
        self.read_backbone_config()
        if self.decoder_hidden_size is None:
            self.decoder_hidden_size = self.hidden_size
        if self.decoder_num_attention_heads is None:
            self.decoder_num_attention_heads = max(self.decoder_hidden_size // DECODER_HEAD_SIZE, 1)
        if self.decoder_intermediate_size is None:
            self.decoder_intermediate_size = 4 * self.decoder_hidden_size
        super().__post_init__(**kwargs)

    @property
    def crop_divisor(self) -> int:
        """As every encoder's, and that of the original with `crop_padded_logits`."""
        return self.patch_size if self.crop_padded_logits and self.backbone_padding == "end" else 1

    def validate_architecture(self) -> None:
        """Part of `@strict` validation: fields that contradict each other are an error that names them."""
        super().validate_architecture()
        if self.encoder_out_indices != [self.num_hidden_layers - 1]:
            raise ValueError(
                "Segmenter decodes the last layer only: encoder_out_indices must be "
                f"[{self.num_hidden_layers - 1}] (num_hidden_layers - 1), found {self.encoder_out_indices}."
            )
        if self.decoder_type == "mask_transformer":
            if self.decoder_num_layers < 1:
                raise ValueError(f"decoder_num_layers must be at least 1, found {self.decoder_num_layers}.")
            if (self.decoder_hidden_size or 0) % (self.decoder_num_attention_heads or 1):
                raise ValueError(
                    f"decoder_hidden_size ({self.decoder_hidden_size}) must be a multiple of "
                    f"decoder_num_attention_heads ({self.decoder_num_attention_heads})."
                )


__all__ = ["DECODER_HEAD_SIZE", "SegmenterConfig"]
