"""The fixtures of models: `small_model` is every architecture, `any_model` also those on transformers backbones.

`plain_vit` is those whose encoder is the package's own plain ViT.
"""

import pytest

from tests.models.architectures import PLAIN_VITS, SMALL_MODELS, SMALL_MODELS_ON_BACKBONES, SmallModel


@pytest.fixture(params=SMALL_MODELS.values(), ids=SMALL_MODELS.keys())
def small_model(request: pytest.FixtureRequest) -> SmallModel:
    return request.param


ANY_MODELS = {**SMALL_MODELS, **SMALL_MODELS_ON_BACKBONES}


@pytest.fixture(params=ANY_MODELS.values(), ids=ANY_MODELS.keys())
def any_model(request: pytest.FixtureRequest) -> SmallModel:
    return request.param


@pytest.fixture(params=PLAIN_VITS.values(), ids=PLAIN_VITS.keys())
def plain_vit(request: pytest.FixtureRequest) -> SmallModel:
    return request.param
