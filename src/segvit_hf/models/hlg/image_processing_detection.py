"""From boxes and labels of photos to what a detector is trained on, and from its outputs to boxes of photos.

Targets and results have the form of transformers' detectors (DETR and its kin). torchvision is imported where it is
needed: the PIL backends of all image processors work without it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from segvit_hf._compat import BatchFeature, ImageInput
from segvit_hf.image_processing.postprocessing import check_target_sizes
from segvit_hf.image_processing.reading import flatten_images
from segvit_hf.image_processing.size_rules import Size


class ObjectDetectionProcessing:
    """What a detector needs of an image processor; mixed in before one."""

    def preprocess(
        self,
        images: ImageInput,
        segmentation_maps: ImageInput | None = None,
        scale: float = 1.0,
        flip: bool = False,
        num_labels: int | None = None,
        annotations: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """As other image processors', and labels for detection.

        Args:
            images: One photo or a list.
            segmentation_maps: As many label maps, for segmentation.
            scale: Multiplies the limits in `size`.
            flip: Mirror images and labels left to right.
            num_labels: Number of classes, see the base class.
            annotations: For detection, COCO's annotations of each photo, `{"image_id": int, "annotations": [{"bbox":
                [left, top, width, height] in pixels, "category_id": int, "area": float, "iscrowd": 0 or 1}, ...]}`, of
                which `bbox` and `category_id` (0 for the first class) are needed. Crowds are left out.
            kwargs: Fields of the processor that hold for this call only, and the options of the base class.

        Returns:
            As the base class; with annotations `labels`, for every image `class_labels` (n,) int64, `boxes` (n, 4),
            center x, center y, width and height as shares of the photo's, and `orig_size` (height, width).

        Raises:
            ValueError: Label maps and annotations together, unequal numbers of photos and annotations, or annotations
                of another form.
        """
        batch = super().preprocess(images, segmentation_maps, scale, flip, num_labels, **kwargs)  # type: ignore[misc]
        if annotations is None:
            return batch
        if segmentation_maps is not None:
            raise ValueError("annotations: expected these or segmentation_maps, found both.")
        batch["labels"] = detection_targets(self._photo_sizes(images), annotations, flip=flip)
        return batch

    def _photo_sizes(self, images: ImageInput) -> list[Size]:
        """(height, width) of every photo."""
        sizes = []
        for photo in flatten_images(images):
            if isinstance(photo, Image.Image):
                sizes.append((photo.height, photo.width))
            else:
                pixels = self.process_image(photo, do_convert_rgb=True)  # type: ignore[attr-defined]
                sizes.append((pixels.shape[-2], pixels.shape[-1]))
        return sizes

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
        from torchvision.ops import box_convert, clip_boxes_to_image

        scores, boxes = outputs.logits.float().sigmoid(), box_convert(outputs.pred_boxes.float(), "cxcywh", "xyxy")
        sizes = [(1, 1)] * len(scores) if target_sizes is None else check_target_sizes(target_sizes, len(scores))
        results = []
        for image_scores, image_boxes, (height, width) in zip(scores, boxes, sizes, strict=True):
            image_boxes = image_boxes * image_boxes.new_tensor([width, height, width, height])
            image_boxes = clip_boxes_to_image(image_boxes, (height, width))
            results.append(best_boxes(image_scores, image_boxes, threshold, overlap_threshold, max_detections))
        return results


def detection_targets(
    sizes: Sequence[Size], annotations: Mapping[str, Any] | Sequence[Mapping[str, Any]], *, flip: bool = False
) -> list[dict[str, Tensor]]:
    """COCO's annotations in the form that detectors are trained on.

    Args:
        sizes: (height, width) of every photo, in pixels.
        annotations: See `ObjectDetectionProcessing.preprocess`.
        flip: Whether the photos are mirrored.

    Raises:
        ValueError: Not as many annotations as photos, or of another form.
    """
    given = [annotations] if isinstance(annotations, Mapping) else list(annotations)
    if len(given) != len(sizes):
        raise ValueError(f"annotations: expected one per photo ({len(sizes)}), found {len(given)}.")
    return [
        _target(size, annotation, flip, index)
        for index, (size, annotation) in enumerate(zip(sizes, given, strict=True))
    ]


def _target(size: Size, annotation: Mapping[str, Any], flip: bool, index: int) -> dict[str, Tensor]:
    from torchvision.ops import box_convert, clip_boxes_to_image

    height, width = size
    try:
        objects = [item for item in annotation["annotations"] if not item.get("iscrowd", 0)]
        labels = torch.tensor([int(item["category_id"]) for item in objects], dtype=torch.int64)
        boxes = torch.tensor([list(item["bbox"]) for item in objects], dtype=torch.float32).reshape(-1, 4)
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"annotations[{index}]: expected {{'annotations': [{{'bbox': [left, top, width, height], 'category_id': "
            f"int}}, ...]}}, found one without ({type(error).__name__}: {error})."
        ) from error
    corners = clip_boxes_to_image(box_convert(boxes, "xywh", "xyxy"), size)
    if flip:
        corners = torch.stack([width - corners[:, 2], corners[:, 1], width - corners[:, 0], corners[:, 3]], dim=1)
    visible = (corners[:, 2:] > corners[:, :2]).all(1)
    shares = box_convert(corners[visible], "xyxy", "cxcywh") / torch.tensor([width, height, width, height])
    return {"class_labels": labels[visible], "boxes": shares, "orig_size": torch.tensor(size)}


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
    from torchvision.ops import batched_nms

    index, labels = (scores > threshold).nonzero(as_tuple=True)
    found, candidates = scores[index, labels], boxes[index]
    kept = batched_nms(candidates, found, labels, overlap_threshold)[:max_detections]
    return {"scores": found[kept], "labels": labels[kept], "boxes": candidates[kept]}


__all__ = ["ObjectDetectionProcessing", "best_boxes", "detection_targets"]
