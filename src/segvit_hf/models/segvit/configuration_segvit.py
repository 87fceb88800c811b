"""SegViT's configuration."""

import math
from typing import Any

from segvit_hf._compat import strict
from segvit_hf.encoders.configuration_vit import ViTEncoderConfig, as_pair
from segvit_hf.models.class_groups import ClassGroupsConfig

# The layers that the original's ViT-B reads, as shares of the encoder's depth.
_LAYERS = (6 / 12, 8 / 12, 1)


@strict
class SegVitConfig(ClassGroupsConfig, ViTEncoderConfig):
    r"""Configuration of [`SegVitForSemanticSegmentation`]; the defaults are SegViT-B at 512x512.

    The encoder's fields are those of [`ViTEncoderConfig`]; of these, `encoder_out_indices` defaults to the layers
    after 1/2, 2/3 and all of the depth, (5, 7, 11) of 12. Labels and windows are described in
    [`SemanticSegmentationConfig`], steps in which classes were learned in [`ClassGroupsConfig`]. The decoder's:

    Args:
        decoder_hidden_size, decoder_num_layers, decoder_num_attention_heads, decoder_dropout:
            Width, layers per stage, heads and dropout (attention probabilities included) of the decoder.
        decoder_intermediate_size (`int`, *optional*): Defaults to four times `decoder_hidden_size`.
        shared_class_head (`bool`, defaults to `False`):
            SegViTv2's head (Zhang et al., 2024): one classifier for all queries says whether the class of a query is
            there, and queries don't attend to each other. Otherwise (SegViT) a query's class is predicted among all.
        num_decoder_stages (`int`, defaults to 3):
            The first so many feature maps are decoded, one stage each. The cascade starts with the deepest of them.
        use_input_projection (`bool`): Whether a stage projects and normalizes its feature map first.
        use_token_pyramid (`bool`): The Shrunk decoder: learned token queries recover the full patch grid from the
            feature maps, shallow to deep, before a single-stage attention-to-mask decoder.
        token_pyramid_stride (`int`, defaults to 16): Pixels of `mask_size` per token query.
        mask_size (`int`, *optional*): Side in pixels at which class and mask scores are combined. Defaults to the
            height of `image_size`.
        class_loss_weight, mask_loss_weight, dice_loss_weight, no_object_weight: Weights of the training loss.
        edge_loss_weight (`float`, defaults to 1.0): Weight of the loss of `shrink_edge_budget`'s prediction of edges.
        num_supervised_outputs (`int`, *optional*):
            How many of the decoder's outputs get a loss: the last one always, then the others in order. `None` = all.
        first_supervised_class (`int`, defaults to 0):
            The class loss looks at classes from this id on, so that older ones, which the labels of a continual step
            don't show, are not learned to be absent. `add_classes` sets it to the first new class.

    Example:
    ```python
    >>> from segvit_hf import SegVitConfig, SegVitForSemanticSegmentation

    >>> model = SegVitForSemanticSegmentation(SegVitConfig(num_labels=150))
    ```
    """

    model_type = "segvit"
    positive_fields = (
        *ViTEncoderConfig.positive_fields,
        "decoder_hidden_size",
        "decoder_num_layers",
        "decoder_num_attention_heads",
        "decoder_intermediate_size",
        "token_pyramid_stride",
        "num_supervised_outputs",
    )
    probability_fields = (*ViTEncoderConfig.probability_fields, "decoder_dropout")

    hidden_dropout_prob: float | int = 0.0
    drop_path_rate: float | int = 0.1
    drop_path_on_attention: bool = False
    drop_prefix_tokens: bool = True

    decoder_hidden_size: int = 384
    decoder_num_layers: int = 3
    decoder_num_attention_heads: int = 12
    decoder_intermediate_size: int | None = None
    decoder_dropout: float | int = 0.1
    shared_class_head: bool = False
    num_decoder_stages: int = 3
    use_input_projection: bool = True
    use_token_pyramid: bool = False
    token_pyramid_stride: int = 16
    mask_size: int | None = None
    class_loss_weight: float | int = 1.0
    mask_loss_weight: float | int = 20.0
    dice_loss_weight: float | int = 1.0
    no_object_weight: float | int = 0.1
    edge_loss_weight: float | int = 1.0
    num_supervised_outputs: int | None = None
    first_supervised_class: int = 0

    def __post_init__(self, **kwargs: Any) -> None:
        self.read_backbone_config()
        if self.encoder_out_indices is None:
            self.encoder_out_indices = sorted({math.ceil(self.num_hidden_layers * share) - 1 for share in _LAYERS})
        super().__post_init__(**kwargs)

    def validate_architecture(self) -> None:
        """Part of `@strict` validation: fields that contradict each other are an error that names them."""
        super().validate_architecture()
        if self.decoder_hidden_size % self.decoder_num_attention_heads:
            raise ValueError(
                f"decoder_hidden_size ({self.decoder_hidden_size}) must be a multiple of "
                f"decoder_num_attention_heads ({self.decoder_num_attention_heads})."
            )
        num_feature_maps = len(self.encoder_out_indices or [])
        if not 1 <= self.num_decoder_stages <= num_feature_maps:
            raise ValueError(
                f"num_decoder_stages ({self.num_decoder_stages}) must lie between 1 and the number of feature maps "
                f"({num_feature_maps}, encoder_out_indices = {self.encoder_out_indices})."
            )
        if self.shrink_edge_budget and not self.use_token_pyramid:
            raise ValueError(
                "shrink_edge_budget needs use_token_pyramid = True, which reads tokens in any order, found False."
            )
        if not self.use_input_projection and self.decoder_hidden_size != self.hidden_size:
            raise ValueError(
                f"Without an input projection decoder_hidden_size ({self.decoder_hidden_size}) must equal "
                f"hidden_size ({self.hidden_size})."
            )

    @property
    def decoder_type(self) -> str:
        """`"shrunk"` with a token pyramid, else `"atm"`."""
        return "shrunk" if self.use_token_pyramid else "atm"

    @property
    def mask_side(self) -> int:
        """`mask_size`, or its default."""
        return self.mask_size or as_pair(self.image_size)[0]


__all__ = ["SegVitConfig"]
