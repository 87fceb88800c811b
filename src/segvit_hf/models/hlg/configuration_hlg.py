"""HLG's configuration, one for segmentation, classification, detection and the backbone."""

from typing import Any

from segvit_hf._compat import BackboneConfigMixin, strict
from segvit_hf.encoders.configuration_hlg import NUM_STAGES, HlgEncoderConfig
from segvit_hf.models.configuration import SemanticSegmentationConfig

# Numbers that say where a box is.
BOX_SIZE = 4


@strict
class HlgConfig(BackboneConfigMixin, SemanticSegmentationConfig, HlgEncoderConfig):
    r"""Configuration of every model with HLG's encoder; the defaults are HLG-Small.

    Those are [`HlgForSemanticSegmentation`], [`HlgForImageClassification`], [`HlgForObjectDetection`] and
    [`HlgBackbone`]. The encoder's fields are those of [`HlgEncoderConfig`], labels and windows over large photos are
    described in [`SemanticSegmentationConfig`]. The heads':

    Args:
        decoder_hidden_size (`int`, defaults to 512): Segmentation: channels of the decoder, a multiple of 32.
        decoder_num_layers (`int`, defaults to 2): Segmentation: local-global layers of the decoder.
        decoder_dilated_groups (`int`, defaults to 8):
            Segmentation: every other of them attends in so many groups of tokens down and across.
        decoder_dropout (`float`, defaults to 0.1): Segmentation: dropout of whole channels before the classifiers.
        use_auxiliary_head (`bool`, defaults to `True`): Segmentation: whether a head on one map trains along.
        auxiliary_hidden_size, auxiliary_num_convolutions, auxiliary_map_index, auxiliary_loss_weight:
            Segmentation: channels, convolutions, feature map and loss weight of that head (256, 1, 2 and 0.4).
        pyramid_hidden_size (`int`, defaults to 256): Detection: channels of the feature pyramid.
        detector_num_convolutions (`int`, defaults to 4): Detection: convolutions in front of either classifier.
        anchor_base_scale, anchor_scales_per_octave, anchor_ratios:
            Detection: sides of anchors in units of their map's stride (4, times 3 powers of two per octave), and
            height / width (0.5, 1, 2).
        positive_overlap, negative_overlap (`float`, defaults to 0.5 and 0.4):
            Detection: from which intersection over union on an anchor is an object's, below which it is background.
        focal_loss_alpha, focal_loss_gamma, box_loss_weight: Detection: of the training loss (0.25, 2 and 1).
        out_features, out_indices: Of the backbone: among `"stem"` (stride 2) and `"stage1"` to `"stage4"`, or 0 to 4;
            the four stages by default.

    Example:
    ```python
    >>> from segvit_hf import HlgConfig, HlgForSemanticSegmentation

    >>> model = HlgForSemanticSegmentation(HlgConfig(num_labels=150))
    ```
    """

    model_type = "hlg"
    positive_fields = (
        *HlgEncoderConfig.positive_fields,
        "decoder_hidden_size",
        "decoder_dilated_groups",
        "auxiliary_hidden_size",
        "pyramid_hidden_size",
        "anchor_base_scale",
        "anchor_scales_per_octave",
    )
    probability_fields = (*HlgEncoderConfig.probability_fields, "decoder_dropout")

    decoder_hidden_size: int = 512
    decoder_num_layers: int = 2
    decoder_dilated_groups: int = 8
    decoder_dropout: float | int = 0.1
    use_auxiliary_head: bool = True
    auxiliary_hidden_size: int = 256
    auxiliary_num_convolutions: int = 1
    auxiliary_map_index: int = 2
    auxiliary_loss_weight: float | int = 0.4
    pyramid_hidden_size: int = 256
    detector_num_convolutions: int = 4
    anchor_base_scale: float | int = 4
    anchor_scales_per_octave: int = 3
    anchor_ratios: list[float] | tuple[float, ...] = (0.5, 1.0, 2.0)
    positive_overlap: float | int = 0.5
    negative_overlap: float | int = 0.4
    focal_loss_alpha: float | int = 0.25
    focal_loss_gamma: float | int = 2.0
    box_loss_weight: float | int = 1.0
    _out_features: list[str] | None = None
    _out_indices: list[int] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        self.anchor_ratios = list(self.anchor_ratios)
        self.stage_names = ["stem", *(f"stage{index + 1}" for index in range(NUM_STAGES))]
        # The four stages unless the caller names some; naming neither explicitly (None) is transformers' way to ask
        # for the last one.
        defaults = {} if {"out_features", "out_indices"} & set(kwargs) else {"out_features": self.stage_names[1:]}
        out_features = kwargs.pop("out_features", defaults.get("out_features"))
        out_indices = kwargs.pop("out_indices", None)
        self.set_output_features_output_indices(out_indices=out_indices, out_features=out_features)
        super().__post_init__(**kwargs)

    def validate_architecture(self) -> None:
        """Part of `@strict` validation: fields that contradict each other are an error that names them."""
        super().validate_architecture()
        if self.decoder_hidden_size % 32:
            raise ValueError(
                f"decoder_hidden_size must be a multiple of 32, the width of a head, found {self.decoder_hidden_size}."
            )
        if not 0 <= self.auxiliary_map_index < NUM_STAGES:
            raise ValueError(
                f"auxiliary_map_index must lie between 0 and {NUM_STAGES - 1}, found {self.auxiliary_map_index}."
            )
        if not 0 <= self.negative_overlap <= self.positive_overlap <= 1:
            raise ValueError(
                "expected 0 <= negative_overlap <= positive_overlap <= 1, found "
                f"{self.negative_overlap} and {self.positive_overlap}."
            )
        if not self.anchor_ratios or min(self.anchor_ratios) <= 0:
            raise ValueError(f"anchor_ratios: expected numbers above 0, found {self.anchor_ratios}.")


__all__ = ["BOX_SIZE", "HlgConfig"]
