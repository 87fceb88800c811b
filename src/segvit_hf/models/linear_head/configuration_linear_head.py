"""The linear head's configuration."""

from typing import Literal

from segvit_hf._compat import strict
from segvit_hf.encoders.configuration_vit import ViTEncoderConfig
from segvit_hf.models.configuration import SemanticSegmentationConfig


@strict
class LinearHeadConfig(SemanticSegmentationConfig, ViTEncoderConfig):
    r"""Configuration of [`LinearHeadForSemanticSegmentation`]; the defaults are DINOv2's linear head on its ViT-B/14.

    The encoder's fields are those of [`ViTEncoderConfig`], labels and windows are described in
    [`SemanticSegmentationConfig`]. The head reads every layer of `encoder_out_indices`: the last one alone is DINOv2's
    and DINOv3's linear evaluation, the last four are DINOv2's multi-scale head. Its fields:

    Args:
        decoder_type (`"linear"`): The only decoder that there is.
        decoder_dropout (`float`, defaults to 0): Dropout of whole channels in front of the batch norm.
        use_batch_norm (`bool`, defaults to `True`): Whether features are batch-normalized before they are classified.
        backbone_padding (`"end"`, `"center"` or `"cut"`, defaults to `"end"`):
            As that of [`BackboneFields`], for the plain ViT, too.

    Example:
    ```python
    >>> from segvit_hf import LinearHeadConfig, LinearHeadForSemanticSegmentation

    >>> model = LinearHeadForSemanticSegmentation(LinearHeadConfig(num_labels=150))
    ```
    """

    model_type = "linear_head"
    fixed_fields = {"shrink_index": None}
    backbone_fields = ("backbone_final_norm", "freeze_backbone")
    probability_fields = (*ViTEncoderConfig.probability_fields, "decoder_dropout")

    image_size: int | list[int] | tuple[int, int] = 518
    patch_size: int = 14
    use_final_norm: bool = True
    normalize_feature_maps: bool = True
    layer_scale_init_value: float | int | None = 1.0
    position_embedding_offset: float | int = 0.1

    decoder_type: Literal["linear"] = "linear"
    decoder_dropout: float | int = 0.0
    use_batch_norm: bool = True

    @property
    def crop_divisor(self) -> int:
        """What inputs are padded to multiples of where logits are cropped to the input again; else 1."""
        return self.patch_size if self.backbone_padding == "end" else 1


__all__ = ["LinearHeadConfig"]
