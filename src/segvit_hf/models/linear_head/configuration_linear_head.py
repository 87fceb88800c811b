"""The linear head's configuration."""

from typing import Literal

from segvit_hf._compat import strict
from segvit_hf.encoders.configuration_vit import ViTEncoderConfig
from segvit_hf.layers.resize import PatchFit
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
        patch_fit (`"pad"`, `"center"` or `"cut"`, defaults to `"pad"`):
            What becomes of inputs whose sides are no multiples of the patch size. `"pad"` fills them up at the bottom
            and at the right and cuts the logits back. The other two resize the logits of what the encoder saw to the
            whole input: `"center"` (DINOv2) fills up on all sides, `"cut"` (DINOv3) leaves out the remainder.

    Example:
    ```python
    >>> from segvit_hf import LinearHeadConfig, LinearHeadForSemanticSegmentation

    >>> model = LinearHeadForSemanticSegmentation(LinearHeadConfig(num_labels=150))
    ```
    """

    model_type = "linear_head"
    fixed_fields = {"shrink_index": None}
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
    patch_fit: PatchFit = "pad"


__all__ = ["LinearHeadConfig"]
