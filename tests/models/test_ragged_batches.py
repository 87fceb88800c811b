"""A batch of images of different sizes, padded, gives what the images give one by one."""

import pytest
import torch

from tests.models.architectures import SmallModel


@pytest.mark.parametrize("sliding_window", [None, {"crop_size": [64, 64], "stride": [42, 42]}])
def test_padding_leaves_no_trace_in_the_logits(any_model: SmallModel, sliding_window: dict | None) -> None:
    model = any_model.build(sliding_window=sliding_window)
    images = [torch.randn(3, 64, 80), torch.randn(3, 96, 50)]
    pixel_values, pixel_mask = torch.zeros(2, 3, 96, 80), torch.zeros(2, 96, 80, dtype=torch.int64)
    for index, image in enumerate(images):
        pixel_values[index, :, : image.shape[1], : image.shape[2]] = image
        pixel_mask[index, : image.shape[1], : image.shape[2]] = 1
    with torch.no_grad():
        output = model(pixel_values, pixel_mask=pixel_mask)
        alone = [model(image[None]).logits[0] for image in images]
    assert output.image_sizes.tolist() == [[64, 80], [96, 50]]
    for logits, expected in zip(output.logits, alone, strict=True):
        height, width = expected.shape[-2:]
        assert torch.equal(logits[:, :height, :width], expected)
        assert not logits[:, height:].any()
        assert not logits[:, :, width:].any()


def test_a_mask_of_another_size_is_refused(any_model: SmallModel) -> None:
    with pytest.raises(ValueError, match=r"pixel_mask: expected .*\(1, 64, 64\)"):
        any_model.build()(torch.zeros(1, 3, 64, 64), pixel_mask=torch.ones(1, 32, 32))
