"""A transformers backbone in the place of the package's own ViT: its fields, and what is read from it."""

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from transformers import AutoBackbone, AutoConfig, PreTrainedConfig, PreTrainedModel

from segvit_hf._compat import strict
from segvit_hf.encoders.checked_configuration import CheckedConfig
from segvit_hf.layers.resize import Padding

TIMM = "timm_backbone"
DINOV3 = "dinov3_vit"
# Fields that a configuration of a backbone with several strides has, one entry for each of its stages.
_STAGE_FIELDS = ("depths", "hidden_sizes", "embed_dims")


@dataclass(frozen=True)
class BackboneFacts:
    """What decoders, layer decay and image processors ask an encoder's configuration for; `None` where unknown."""

    hidden_size: int
    num_hidden_layers: int
    patch_size: int
    num_channels: int
    num_attention_heads: int | None = None
    image_size: int | tuple[int, int] | None = None


def as_backbone_config(value: PreTrainedConfig | dict[str, Any]) -> PreTrainedConfig:
    """A copy of a backbone's configuration, which may be given as its dictionary.

    Raises:
        ValueError: A dictionary without `model_type`.
    """
    if isinstance(value, PreTrainedConfig):
        return copy.deepcopy(value)
    fields = dict(value)
    if "model_type" not in fields:
        raise ValueError(f"backbone_config: expected a dictionary with model_type, found {', '.join(fields) or '{}'}.")
    return AutoConfig.for_model(fields.pop("model_type"), **fields)


def build_backbone(config: PreTrainedConfig, *, pretrained: bool = False) -> PreTrainedModel:
    """The backbone of a configuration for inputs of any size, with initial weights or (timm's) pretrained ones."""
    if config.model_type != TIMM:
        return AutoBackbone.from_config(config)
    try:
        # timm's ViTs refuse every size but their own unless they are told otherwise; its other models have no such
        # argument.
        return AutoBackbone.from_config(config, pretrained=pretrained, dynamic_img_size=True)
    except TypeError:
        return AutoBackbone.from_config(config, pretrained=pretrained)


def backbone_facts(config: PreTrainedConfig) -> BackboneFacts:
    """Reads a backbone's configuration; timm's says nothing, so that its model is built without memory for weights.

    Raises:
        ValueError: The maps have several strides, or the configuration doesn't say what they are.
    """
    return _timm_facts(config) if config.model_type == TIMM else _transformers_facts(config)


def _transformers_facts(config: PreTrainedConfig) -> BackboneFacts:
    stages = {name: getattr(config, name) for name in _STAGE_FIELDS if getattr(config, name, None) is not None}
    if stages or getattr(config, "add_fpn", False):
        raise pyramid_error(
            config, ", ".join(f"{name} = {list(value)}" for name, value in stages.items()) or "add_fpn"
        )
    needed = ("hidden_size", "num_hidden_layers", "patch_size")
    missing = [name for name in needed if getattr(config, name, None) is None]
    if missing or not hasattr(config, "out_indices"):
        raise ValueError(
            f"backbone_config: expected a backbone's configuration with {', '.join(needed)} and out_indices, found "
            f"{type(config).__name__} without {', '.join(missing) or 'out_indices'}."
        )
    image_size = getattr(config, "image_size", None)
    return BackboneFacts(
        hidden_size=config.hidden_size,
        num_hidden_layers=config.num_hidden_layers,
        patch_size=_one_side(config.patch_size),
        num_channels=getattr(config, "num_channels", 3),
        num_attention_heads=getattr(config, "num_attention_heads", None),
        image_size=tuple(image_size) if isinstance(image_size, (list, tuple)) else image_size,
    )


def _one_side(patch_size: int | list[int] | tuple[int, ...]) -> int:
    sides = {patch_size} if isinstance(patch_size, int) else set(patch_size)
    if len(sides) != 1:
        raise ValueError(f"backbone_config: expected square patches, found patch_size = {patch_size}.")
    return sides.pop()


def _timm_facts(config: PreTrainedConfig) -> BackboneFacts:
    with torch.device("meta"):
        backbone: Any = build_backbone(copy.deepcopy(config))
    stages = backbone._backbone.feature_info.info
    reductions = {stage["reduction"] for stage in stages}
    if len(reductions) != 1:
        raise pyramid_error(config, f"strides {', '.join(str(stride) for stride in sorted(reductions))}")
    return BackboneFacts(
        hidden_size=stages[-1]["num_chs"],
        num_hidden_layers=len(stages),
        patch_size=int(reductions.pop()),
        num_channels=config.num_channels,
    )


def pyramid_error(config: PreTrainedConfig, found: str) -> ValueError:
    """The error for a backbone whose maps have several strides."""
    return ValueError(
        f"backbone_config: expected a backbone whose maps all have one stride, such as a plain ViT, found "
        f"{type(config).__name__} with a pyramid of strides ({found})."
    )


def select_layers(config: PreTrainedConfig, layers: list[int]) -> None:
    """Makes a backbone return the outputs of 0-based layers."""
    # In transformers, stage 0 is what enters the first layer; timm counts blocks.
    first = 0 if config.model_type == TIMM else 1
    config.out_indices = [first + layer for layer in layers]


def has_backbone(config: PreTrainedConfig) -> bool:
    """Whether a model's encoder is a transformers backbone; not every architecture can have one."""
    return getattr(config, "backbone_config", None) is not None


@strict
class BackboneFields(CheckedConfig):
    r"""The fields of a transformers backbone that stands in the place of the package's own ViT.

    Args:
        backbone_config (`PreTrainedConfig` or `dict`, *optional*):
            A transformers backbone, whose maps have one stride, in the place of this package's ViT. Its width, depth,
            heads, patch size, channels and image size then stand in the ViT's fields, the other fields of the ViT
            keep their defaults, and `encoder_out_indices` replaces its own `out_indices`.
        backbone_final_norm (`bool`, *optional*):
            Whether every map passes the backbone's own final norm. Defaults to what `backbone_config` says
            (`apply_layernorm`: `True` for DINOv2 and DINOv3); backbones without that field have no such norm.
        backbone_padding (`"end"`, `"center"` or `"cut"`, defaults to `"end"`):
            Where inputs are padded to multiples of the patch size: at the bottom and at the right, and the padding is
            cut off the logits again; or around (the original DINOv2), and the logits of the padded input are resized.
            `"cut"` (DINOv3's linear evaluation) leaves out what exceeds a multiple, and logits are resized, too.
        freeze_backbone (`bool`, *optional*):
            Whether the backbone is not trained. Defaults to `False`, for ViT-Adapter to `True`.
    """

    # Fields of this package's ViT alone: with a backbone they keep their defaults.
    vit_fields: ClassVar[tuple[str, ...]] = (
        "hidden_dropout_prob",
        "attention_probs_dropout_prob",
        "drop_path_rate",
        "use_class_token",
        "use_distillation_token",
        "use_final_norm",
        "normalize_feature_maps",
        "use_gated_mlp",
        "layer_scale_init_value",
        "use_position_embeddings",
        "use_relative_position_bias",
        "position_embedding_interpolation",
        "position_embedding_resize_by",
        "position_embedding_offset",
        "shrink_index",
        "shrink_edge_budget",
    )
    # Fields that this package's ViT doesn't have.
    backbone_fields: ClassVar[tuple[str, ...]] = ("backbone_final_norm", "freeze_backbone", "backbone_padding")
    # What `freeze_backbone` defaults to.
    freezes_backbone: ClassVar[bool] = False
    sub_configs = {"backbone_config": AutoConfig}

    backbone_config: dict[str, Any] | PreTrainedConfig | None = None
    backbone_final_norm: bool | None = None
    backbone_padding: Padding = "end"
    freeze_backbone: bool | None = None

    if TYPE_CHECKING:  # those of the encoder's configuration
        num_hidden_layers: int
        patch_size: int
        encoder_out_indices: list[int] | tuple[int, ...] | None
        probability_fields: ClassVar[tuple[str, ...]]

    def read_backbone_config(self) -> None:
        """Fills what a backbone says of itself into the fields of the encoder; nothing without a backbone.

        Subclasses call it before they fill fields that depend on those. A second call changes nothing.
        """
        if self.backbone_config is None:
            return
        self.backbone_config = as_backbone_config(self.backbone_config)
        for name, value in vars(backbone_facts(self.backbone_config)).items():
            found, default = getattr(self, name), getattr(type(self), name)
            if value is not None and found not in (value, default):
                raise ValueError(f"{name}: expected {value}, as backbone_config says, or none, found {found}.")
            setattr(self, name, found if value is None else value)

    def write_backbone_config(self) -> None:
        """Brings the layers and the norm that are wanted into the backbone's own configuration."""
        backbone: Any = self.backbone_config
        if backbone is None:
            return
        if self.freeze_backbone is None:
            self.freeze_backbone = self.freezes_backbone
        if hasattr(backbone, "apply_layernorm"):
            if self.backbone_final_norm is None:
                self.backbone_final_norm = backbone.apply_layernorm
            backbone.apply_layernorm = self.backbone_final_norm
        if hasattr(backbone, "reshape_hidden_states"):
            backbone.reshape_hidden_states = True
        layers = list(self.encoder_out_indices or [])
        if all(0 <= layer < self.num_hidden_layers for layer in layers):  # else refused by the encoder's fields
            select_layers(backbone, layers)

    @property
    def filled_backbone_config(self) -> PreTrainedConfig:
        """`backbone_config`, where there is one."""
        assert isinstance(self.backbone_config, PreTrainedConfig)
        return self.backbone_config

    @property
    def crop_divisor(self) -> int:
        """What inputs are padded to multiples of where logits are cropped to the input again; else 1."""
        return self.patch_size if self.backbone_config is not None and self.backbone_padding == "end" else 1

    def validate_backbone(self) -> None:
        """Part of `@strict` validation: fields that contradict each other are an error that names them."""
        if self.backbone_config is None:
            self._refuse_backbone_fields()
        else:
            self._refuse_vit_fields()
            self._validate_final_norm(self.filled_backbone_config)

    def _refuse_backbone_fields(self) -> None:
        for name in self.backbone_fields:
            if getattr(self, name) not in (None, False, "end"):
                raise ValueError(f"{name}: expected a backbone_config with it, found none.")

    def _refuse_vit_fields(self) -> None:
        for name in self.vit_fields:
            found, default = getattr(self, name), getattr(type(self), name)
            is_off = name in self.probability_fields and found == 0
            if found != default and not is_off:
                raise ValueError(
                    f"{name}: expected {default!r}, for with a backbone_config it has no effect, found {found!r}."
                )

    def _validate_final_norm(self, backbone: PreTrainedConfig) -> None:
        if self.backbone_final_norm and not hasattr(backbone, "apply_layernorm"):
            raise ValueError(
                f"backbone_final_norm: expected False, for {type(backbone).__name__} has no such norm, found True."
            )
        reads_last_layer = self.num_hidden_layers - 1 in (self.encoder_out_indices or [])
        if self.backbone_final_norm is False and backbone.model_type == DINOV3 and reads_last_layer:
            raise ValueError(
                "backbone_final_norm: expected True, for transformers' DINOv3 normalizes its last layer always, found "
                "False."
            )


__all__ = [
    "TIMM",
    "BackboneFacts",
    "BackboneFields",
    "as_backbone_config",
    "backbone_facts",
    "build_backbone",
    "has_backbone",
    "pyramid_error",
]
