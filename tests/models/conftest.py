"""Every test that asks for `small_model` runs once per architecture."""

import pytest

from tests.models.architectures import SMALL_MODELS, SmallModel


@pytest.fixture(params=SMALL_MODELS.values(), ids=SMALL_MODELS.keys())
def small_model(request: pytest.FixtureRequest) -> SmallModel:
    return request.param
