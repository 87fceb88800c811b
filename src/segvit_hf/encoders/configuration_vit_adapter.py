"""The fields of a plain ViT with ViT-Adapter's branch."""

from typing import Any

from segvit_hf._compat import strict
from segvit_hf.encoders.configuration_backbone import BackboneFields
from segvit_hf.encoders.configuration_vit import ViTEncoderConfig

NUM_FEATURE_MAPS = 4
# The coarsest map has one cell per so many pixels: inputs are padded to multiples of it.
SIZE_DIVISOR = 32


@strict
class ViTAdapterEncoderConfig(ViTEncoderConfig):
    r"""What ViT-Adapter adds to a plain ViT: four feature maps, whose strides are 4 to 32 whatever the patch size.

    The encoder's fields are those of [`ViTEncoderConfig`]; `encoder_out_indices` are the layers that end an
    interaction with the adapter, the last layer included, and default to four equal groups of layers. With a
    `backbone_config` they are the layers that the adapter reads, and nothing is injected (the form of DINOv3's
    segmentation models); the backbone is frozen unless `freeze_backbone=False`. The adapter's:

    Args:
        spatial_prior_hidden_size (`int`, defaults to 64): Channels of the first convolutions.
        adapter_num_attention_heads (`int`, defaults to 6): Heads of injectors and extractors.
        adapter_num_points (`int`, defaults to 4): Points that a head reads per feature map.
        adapter_value_ratio (`float`, defaults to 1.0):
            Width of the values of injectors and extractors, as a share of `hidden_size`.
        adapter_mlp_ratio (`float`, defaults to 0.25): Width of the extractors' feed-forward layer, likewise.
        injector_init_value (`float`, defaults to 0.0): Initial value of the injectors' per-channel factors.
        num_extra_extractors (`int`, defaults to 2): Extractors after the last interaction.
        add_vit_features (`bool`, defaults to `True`):
            Whether the four interactions' ViT features are added to the four feature maps.
    """

    model_type = "segvit_hf_vit_adapter_encoder"
    fixed_fields = {
        "shrink_index": None,
        "drop_prefix_tokens": False,
        "use_distillation_token": False,
        "use_final_norm": False,
    }

    # Stochastic depth is that of the extractors, too.
    vit_fields = (
        *(name for name in BackboneFields.vit_fields if name != "drop_path_rate"),
        "injector_init_value",
    )
    freezes_backbone = True

    positive_fields = (
        *ViTEncoderConfig.positive_fields,
        "spatial_prior_hidden_size",
        "adapter_num_attention_heads",
        "adapter_num_points",
    )

    use_class_token: bool = False
    layer_scale_init_value: float | int | None = 1.0

    spatial_prior_hidden_size: int = 64
    adapter_num_attention_heads: int = 6
    adapter_num_points: int = 4
    adapter_value_ratio: float | int = 1.0
    adapter_mlp_ratio: float | int = 0.25
    injector_init_value: float | int = 0.0
    num_extra_extractors: int = 2
    add_vit_features: bool = True

    def __post_init__(self, **kwargs: Any) -> None:
        self.read_backbone_config()
        if self.encoder_out_indices is None:
            self.encoder_out_indices = [
                (index + 1) * self.num_hidden_layers // NUM_FEATURE_MAPS - 1 for index in range(NUM_FEATURE_MAPS)
            ]
        super().__post_init__(**kwargs)

    def validate_architecture(self) -> None:
        """Part of `@strict` validation: fields that contradict each other are an error that names them."""
        super().validate_architecture()
        out_indices = list(self.encoder_out_indices or [])
        if self.backbone_config is None and out_indices[-1:] != [self.num_hidden_layers - 1]:
            raise ValueError(
                f"encoder_out_indices must end with the last layer ({self.num_hidden_layers - 1}), found "
                f"{out_indices}."
            )
        if self.add_vit_features and len(out_indices) != NUM_FEATURE_MAPS:
            raise ValueError(
                f"add_vit_features needs {NUM_FEATURE_MAPS} interactions, one per feature map, found "
                f"encoder_out_indices = {out_indices}."
            )
        if self.backbone_padding != "end":
            raise ValueError(f"backbone_padding: expected 'end' with an adapter, found {self.backbone_padding!r}.")
        value_size = int(self.hidden_size * self.adapter_value_ratio)
        if value_size < 1 or value_size % self.adapter_num_attention_heads:
            raise ValueError(
                f"hidden_size * adapter_value_ratio ({value_size}) must be a multiple of adapter_num_attention_heads "
                f"({self.adapter_num_attention_heads})."
            )


__all__ = ["NUM_FEATURE_MAPS", "SIZE_DIVISOR", "ViTAdapterEncoderConfig"]
