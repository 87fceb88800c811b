"""Modules whose parts must stay on one device are known by their class names."""

from tests.models.architectures import SMALL_MODELS, SmallModel


def test_the_encoders_blocks_are_never_split(small_model: SmallModel) -> None:
    blocks = {"hlg": {"HlgLayer", "HlgDecoderLayer"}}.get(
        small_model.model_type, {"ViTEmbeddings", "TransformerLayer"}
    )
    assert blocks <= set(small_model.build()._no_split_modules)


def test_every_name_is_that_of_a_module() -> None:
    models = [small.build() for small in SMALL_MODELS.values()]
    existing = {type(module).__name__ for model in models for module in model.modules()}
    assert {name for model in models for name in model._no_split_modules} <= existing
