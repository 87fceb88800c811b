"""Every test that asks for `small_model` runs once per architecture, `plain_vit` once per one with a plain ViT."""

import pytest

from tests.models.architectures import PLAIN_VITS, SMALL_MODELS, SmallModel


@pytest.fixture(params=SMALL_MODELS.values(), ids=SMALL_MODELS.keys())
def small_model(request: pytest.FixtureRequest) -> SmallModel:
    return request.param


@pytest.fixture(params=PLAIN_VITS.values(), ids=PLAIN_VITS.keys())
def plain_vit(request: pytest.FixtureRequest) -> SmallModel:
    return request.param
