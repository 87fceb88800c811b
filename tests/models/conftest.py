"""Every test that asks for `small_model` runs once per architecture, `any_model` once more per backbone."""

import pytest

from tests.models.architectures import SMALL_MODELS, SMALL_MODELS_ON_BACKBONES, SmallModel


@pytest.fixture(params=SMALL_MODELS.values(), ids=SMALL_MODELS.keys())
def small_model(request: pytest.FixtureRequest) -> SmallModel:
    return request.param


ANY_MODELS = {**SMALL_MODELS, **SMALL_MODELS_ON_BACKBONES}


@pytest.fixture(params=ANY_MODELS.values(), ids=ANY_MODELS.keys())
def any_model(request: pytest.FixtureRequest) -> SmallModel:
    return request.param
