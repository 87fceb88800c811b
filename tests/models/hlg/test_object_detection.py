"""What a detector is trained on and what it gives: targets, anchors, losses, boxes of photos, ragged batches."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.ops import box_convert

from segvit_hf import HlgConfig, HlgForObjectDetection, HlgImageProcessor
from segvit_hf.models.hlg.image_processing_detection import detection_targets
from segvit_hf.models.hlg.retinanet import Anchors, RetinaNetLoss, cell_anchors
from tests.models.hlg.test_trainer_hlg import TINY

LABELS = [
    {"class_labels": torch.tensor([2]), "boxes": torch.tensor([[0.5, 0.5, 0.4, 0.6]])},
    {"class_labels": torch.zeros(0, dtype=torch.int64), "boxes": torch.zeros(0, 4)},
]


@pytest.fixture
def model() -> HlgForObjectDetection:
    torch.manual_seed(0)
    return HlgForObjectDetection(HlgConfig(**TINY)).eval()


def test_anchors_are_mmdetections(model: HlgForObjectDetection) -> None:
    levels = [torch.zeros(1, 1, -(-64 // stride), -(-96 // stride)) for stride in (8, 16, 32, 64, 128)]
    anchors = model.anchors(levels)
    assert anchors.shape == (9 * (8 * 12 + 4 * 6 + 2 * 3 + 1 * 2 + 1), 4)
    sides = (anchors[:, 2:] - anchors[:, :2])[:9]
    scales = [32 * 2 ** (step / 3) for step in range(3)]
    for index, ratio in enumerate((0.5, 1.0, 2.0)):
        width, height = sides[3 * index : 3 * index + 3].unbind(1)
        torch.testing.assert_close(height / width, torch.full((3,), ratio))
        torch.testing.assert_close((height * width).sqrt(), torch.tensor(scales))
    centers = (anchors[:, 2:] + anchors[:, :2]) / 2
    assert centers[9].tolist() == [8.0, 0.0]  # the second cell of the first row
    assert centers[-1].tolist() == [0.0, 0.0]


def test_an_untrained_detector_sees_objects_nowhere(model: HlgForObjectDetection) -> None:
    scores = model(torch.randn(1, 3, 64, 64)).logits.sigmoid()
    assert scores.mean().item() == pytest.approx(0.01, rel=0.1)


def test_the_loss_is_divided_by_the_anchors_of_objects(model: HlgForObjectDetection) -> None:
    anchors = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 8], [30, 30, 50, 50], [0, 0, 10, 4.5]])
    targets = [{"class_labels": torch.tensor([1]), "boxes": torch.tensor([[0.05, 0.05, 0.1, 0.1]])}]
    loss, sizes = RetinaNetLoss(model.config), torch.tensor([[100, 100]])
    matched = loss.match(targets[0], anchors, sizes[0])
    assert matched.positive.tolist() == [True, True, False, False]
    assert matched.counted.tolist() == [True, True, True, False]  # 0.45 is neither an object nor background
    assert matched.classes[:, 1].tolist() == [1, 1, 0, 0]
    found = loss(torch.zeros(1, 4, 3), torch.ones(1, 4, 4), anchors, targets, sizes)
    # Focal loss at probability 1/2: alpha or 1 - alpha, times 1/4 log 2; 2 positive scores, 7 negative ones.
    expected = (0.25 * 2 + 0.75 * 7) * 0.25 * np.log(2) / 2
    assert found["loss_cls"].item() == pytest.approx(expected, rel=1e-5)
    offsets = torch.tensor([[0, 0, 0, 0], [0, 0.125, 0, np.log(1.25)]])
    assert found["loss_bbox"].item() == pytest.approx((1 - offsets).abs().sum().item() / 2, rel=1e-5)


def test_an_image_without_objects_is_background(model: HlgForObjectDetection) -> None:
    output = model(torch.randn(2, 3, 64, 64), labels=LABELS)
    assert output.loss.isfinite()
    assert set(output.loss_dict) == {"loss_cls", "loss_bbox"}
    torch.testing.assert_close(output.loss, sum(output.loss_dict.values()))
    output.loss.backward()
    assert all(parameter.grad is not None for parameter in model.detector.parameters())


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS[:1], "labels: expected one dictionary for each of 2 images, found 1"),
        ([{**LABELS[0], "class_labels": torch.tensor([3])}, LABELS[1]], r"labels\[0\]: expected class labels 0 to 2"),
        ([LABELS[0], {**LABELS[1], "boxes": torch.zeros(2, 4)}], r"labels\[1\]: expected boxes of shape \(0, 4\)"),
    ],
)
def test_labels_that_do_not_fit_are_named(model: HlgForObjectDetection, labels: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model(torch.randn(2, 3, 64, 64), labels=labels)


def test_boxes_are_shares_of_the_image_without_its_padding(model: HlgForObjectDetection) -> None:
    photos = [np.full((64, 96, 3), 50, np.uint8), np.full((96, 64, 3), 90, np.uint8)]
    batch = HlgImageProcessor(do_resize=False)(photos, return_tensors="pt")
    assert batch["pixel_values"].shape == (2, 3, 96, 96)
    with torch.no_grad():
        padded, whole = model(**batch), model(batch["pixel_values"])
    corners, of_whole = (box_convert(output.pred_boxes, "cxcywh", "xyxy") for output in (padded, whole))
    inside = (of_whole[0, :, 3] < 0.6) & (of_whole[0, :, 3] > 0)
    torch.testing.assert_close(corners[0, inside, 3], of_whole[0, inside, 3] * 96 / 64)
    torch.testing.assert_close(corners[0, :, 2], of_whole[0, :, 2])
    with pytest.raises(ValueError, match="pixel_mask: expected"):
        model(batch["pixel_values"], pixel_mask=torch.ones(2, 96, 90))


def test_suppression_keeps_the_best_box_of_a_class() -> None:
    boxes = torch.tensor([[0.5, 0.5, 0.4, 0.4], [0.52, 0.5, 0.4, 0.4], [0.2, 0.2, 0.1, 0.1], [0.5, 0.5, 0.4, 0.4]])
    logits = torch.tensor([[2.0, -9], [1.0, -9], [0.5, -9], [-9, 1.5]])
    outputs = SimpleNamespace(logits=logits[None], pred_boxes=boxes[None])
    (result,) = HlgImageProcessor().post_process_object_detection(outputs, 0.5, [(100, 200)])
    assert result["labels"].tolist() == [0, 1, 0]
    torch.testing.assert_close(result["scores"], torch.tensor([2.0, 1.5, 0.5]).sigmoid())
    torch.testing.assert_close(result["boxes"][0], torch.tensor([60.0, 30, 140, 70]))
    (best,) = HlgImageProcessor().post_process_object_detection(outputs, 0.5, max_detections=1)
    torch.testing.assert_close(best["boxes"], torch.tensor([[0.3, 0.3, 0.7, 0.7]]))
    assert not HlgImageProcessor().post_process_object_detection(outputs, 0.95)[0]["scores"].numel()


def test_cocos_annotations_become_targets() -> None:
    objects = [
        {"bbox": [10, 20, 30, 40], "category_id": 1},
        {"bbox": [0, 0, 200, 100], "category_id": 0, "iscrowd": 1},
        {"bbox": [90, 10, 30, 10], "category_id": 2, "iscrowd": 0},
    ]
    (target,) = detection_targets([(80, 100)], {"annotations": objects})
    assert target["class_labels"].tolist() == [1, 2]
    torch.testing.assert_close(target["boxes"], torch.tensor([[0.25, 0.5, 0.3, 0.5], [0.95, 0.1875, 0.1, 0.125]]))
    (mirrored,) = detection_targets([(80, 100)], [{"annotations": objects}], flip=True)
    torch.testing.assert_close(mirrored["boxes"][:, 0], 1 - target["boxes"][:, 0])
    with pytest.raises(ValueError, match=r"annotations: expected one per photo \(2\), found 1"):
        detection_targets([(80, 100), (1, 1)], {"annotations": objects})
    with pytest.raises(ValueError, match=r"annotations\[0\]: expected .*bbox"):
        detection_targets([(80, 100)], {"annotations": [{"category_id": 1}]})


def test_the_detector_runs_on_another_device_after_loading_there() -> None:
    """Anchors are no stored tensors: a model that is built on the meta device has them, too."""
    with torch.device("meta"):
        model = HlgForObjectDetection(HlgConfig(**TINY))
    assert model(torch.empty(1, 3, 64, 64, device="meta")).pred_boxes.is_meta
    assert not list(model.buffers(recurse=False))


def test_anchors_of_one_cell() -> None:
    found = cell_anchors([8.0], [4.0], torch.device("cpu"))
    assert found.tolist() == [[-2.0, -8.0, 2.0, 8.0]]
    assert isinstance(Anchors(HlgConfig()), torch.nn.Module)
