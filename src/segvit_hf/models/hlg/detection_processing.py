"""From boxes and labels of photos to what a detector is trained on, and from its outputs to boxes of photos.

Targets and results have the form of transformers' detectors (DETR and its kin).
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torchvision.ops import batched_nms, box_convert, clip_boxes_to_image

from segvit_hf.image_processing.postprocessing import check_target_sizes


class ObjectDetectionProcessing:
    """Post-processing of detections; mixed in before an image processor."""

    def post_process_object_detection(
        self,
        outputs: Any,
        threshold: float = 0.05,
        target_sizes: Tensor | Sequence[Sequence[int]] | None = None,
        *,
        overlap_threshold: float = 0.5,
        max_detections: int = 100,
    ) -> list[dict[str, Tensor]]:
        """Boxes of photos from a model's outputs, as mmdetection's RetinaNet finds them.

        Args:
            outputs: The model's outputs with `logits` (batch, num_boxes, num_labels) and `pred_boxes` (batch,
                num_boxes, 4), center x, center y, width and height as shares of the image's.
            threshold: Boxes of lower scores are left out.
            target_sizes: One (height, width) per image, the photos' sizes; `None`: boxes stay shares.
            overlap_threshold: Of boxes of one class whose intersection over union is larger, the best one stays.
            max_detections: So many boxes of an image stay, the best ones.

        Returns:
            For every image `scores` (n,), `labels` (n,) int64 and `boxes` (n, 4), left, top, right and bottom, the
            best first.

        Raises:
            ValueError: `target_sizes` does not hold one pair of positive integers per image.
        """
        scores, boxes = outputs.logits.float().sigmoid(), box_convert(outputs.pred_boxes.float(), "cxcywh", "xyxy")
        sizes = [(1, 1)] * len(scores) if target_sizes is None else check_target_sizes(target_sizes, len(scores))
        results = []
        for image_scores, image_boxes, (height, width) in zip(scores, boxes, sizes, strict=True):
            image_boxes = image_boxes * image_boxes.new_tensor([width, height, width, height])
            image_boxes = clip_boxes_to_image(image_boxes, (height, width))
            results.append(best_boxes(image_scores, image_boxes, threshold, overlap_threshold, max_detections))
        return results


def best_boxes(
    scores: Tensor, boxes: Tensor, threshold: float, overlap_threshold: float, max_detections: int
) -> dict[str, Tensor]:
    """What non-maximum suppression leaves of one image's boxes: `scores`, `labels` and `boxes`, the best first.

    Args:
        scores: (num_boxes, num_labels).
        boxes: (num_boxes, 4), left, top, right, bottom.
        threshold: Lower scores are left out.
        overlap_threshold: See `ObjectDetectionProcessing.post_process_object_detection`.
        max_detections: So many boxes stay.
    """
    index, labels = (scores > threshold).nonzero(as_tuple=True)
    found, candidates = scores[index, labels], boxes[index]
    kept = batched_nms(candidates, found, labels, overlap_threshold)[:max_detections]
    return {"scores": found[kept], "labels": labels[kept], "boxes": candidates[kept]}


__all__ = ["ObjectDetectionProcessing", "best_boxes"]
