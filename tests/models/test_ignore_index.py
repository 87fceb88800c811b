"""Any id may stand for "no class": from label maps through padding to the loss, the result is that of 255."""

import numpy as np
import pytest
import torch

from segvit_hf import (
    HlgImageProcessor,
    LinearHeadImageProcessor,
    SegmenterImageProcessor,
    SegVitImageProcessor,
    SetrImageProcessor,
    VitAdapterImageProcessor,
)
from tests.models.architectures import NUM_LABELS, SmallModel

IMAGE_PROCESSORS = {
    "hlg": HlgImageProcessor,
    "segmenter": SegmenterImageProcessor,
    "segvit": SegVitImageProcessor,
    "setr": SetrImageProcessor,
    "linear_head": LinearHeadImageProcessor,
    "vit_adapter": VitAdapterImageProcessor,
}
SIZES = ((64, 80), (96, 50))


def loss_with(small_model: SmallModel, ignore_index: int, **fields: object) -> torch.Tensor:
    """The loss for photos of different sizes, whose maps hold 0 (to be reduced), the classes and `ignore_index`."""
    rng = np.random.default_rng(0)
    photos = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in SIZES]
    maps = [rng.integers(0, NUM_LABELS + 1, size) for size in SIZES]
    for label_map in maps:
        label_map[:10] = ignore_index
    model = small_model.build(semantic_loss_ignore_index=ignore_index)
    image_processor = IMAGE_PROCESSORS[small_model.model_type](
        do_resize=False, do_reduce_labels=True, ignore_index=ignore_index, **fields
    )
    batch = image_processor(photos, maps, num_labels=NUM_LABELS, return_tensors="pt")
    assert set(batch.labels.unique().tolist()) == {*range(NUM_LABELS), ignore_index}
    torch.manual_seed(0)  # Mask2Former's loss draws points
    with torch.no_grad():
        return model(**batch).loss


@pytest.mark.parametrize("fields", [{}, {"minimum_padded_size": 128}], ids=["ragged batch", "padded photos"])
@pytest.mark.parametrize("ignore_index", [200, -1])
def test_the_loss_is_that_of_255(small_model: SmallModel, ignore_index: int, fields: dict[str, int]) -> None:
    expected = loss_with(small_model, 255, **fields)
    assert expected.isfinite()
    assert torch.equal(loss_with(small_model, ignore_index, **fields), expected)
