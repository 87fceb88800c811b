"""Small transformers backbones of every family that takes the place of the package's ViT."""

from transformers import (
    BeitConfig,
    Dinov2Config,
    Dinov2WithRegistersConfig,
    DINOv3ViTConfig,
    PreTrainedConfig,
    TimmBackboneConfig,
    VitDetConfig,
)

SIZES = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2}

SMALL_BACKBONES: dict[str, PreTrainedConfig] = {
    "dinov2": Dinov2Config(**SIZES, patch_size=14, image_size=56),
    "dinov2-registers": Dinov2WithRegistersConfig(**SIZES, patch_size=14, image_size=56, num_register_tokens=2),
    "dinov3": DINOv3ViTConfig(**SIZES, intermediate_size=64, image_size=64, num_register_tokens=2),
    "beit": BeitConfig(
        **SIZES,
        intermediate_size=64,
        image_size=64,
        use_absolute_position_embeddings=True,
        use_relative_position_bias=True,
    ),
    "vitdet": VitDetConfig(**SIZES, image_size=64, pretrain_image_size=64, window_size=3, window_block_indices=[0, 2]),
    "timm": TimmBackboneConfig(backbone="test_vit"),
}
