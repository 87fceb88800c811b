"""The image processor that all architectures share: mmsegmentation's test pipeline behind transformers' interface.

Every rule that the originals (SegViT, Segmenter, SETR, ViT-Adapter) add to a plain resize is a named field of
`SemanticSegmentationImageProcessorKwargs`. Architectures subclass the two backends with their default values.
"""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
import torch.nn.functional as F
from huggingface_hub.dataclasses import validate_typed_dict
from torch import Tensor

from segvit_hf._compat import (
    BatchFeature,
    ChannelDimension,
    ImageInput,
    ImagesKwargs,
    PilBackend,
    PILImageResampling,
    SemanticSegmentationPostProcessorOutput,
    SizeDict,
    TorchvisionBackend,
    Unpack,
)
from segvit_hf.data.label_maps import DEFAULT_IGNORE_INDEX
from segvit_hf.encoders.pretrained_backbone import backbone_image_fields
from segvit_hf.image_processing.opencv_resize import normalize, resize_bilinear, resize_float_bilinear, resize_nearest
from segvit_hf.image_processing.pil_resize import resize_pil_bilinear
from segvit_hf.image_processing.postprocessing import check_target_sizes, resize_logits, resized_argmax
from segvit_hf.image_processing.reading import (
    flatten_images,
    flatten_label_maps,
    float_range_to_255,
    per_channel,
    read_image,
    read_labels,
    with_floats,
)
from segvit_hf.image_processing.size_rules import RULE_NAMES, InputGeometry, Size, SizeRule

# Keys that a preprocessor_config.json may hold besides the fields.
SERVICE_KEYS = {"image_processor_type", "feature_extractor_type", "processor_class", "auto_map", "_commit_hash"}

Processor = TypeVar("Processor", bound="SemanticSegmentationProcessing")


class SemanticSegmentationImageProcessorKwargs(ImagesKwargs, total=False):
    r"""Fields of the processor, in the order in which they act.

    `size`, `do_resize`, `do_rescale`, `rescale_factor`,
    `do_normalize`, `image_mean`, `image_std` (in units of 0..1) and `do_convert_rgb` are transformers' own; `size` is
    `{"shortest_edge", "longest_edge"}` for mmcv's keep-ratio resize (both sides `int(x * factor + 0.5)`, factor =
    min(longest_edge / long side, shortest_edge / short side); without `longest_edge` only the short side counts) or
    `{"height", "width"}` for a fixed size.

    minimum_short_edge (`int`, *optional*):
        Keep-ratio resizes only. The short side becomes max(shortest_edge, minimum_short_edge), the long side is not
        capped: mmsegmentation's `Resize(min_size=...)` (SegViT on COCO-Stuff and Pascal Context) and
        `setr_multi_scale` with its crop size (SETR, ViT-Adapter).
    multi_scale_minimum_short_edge (`int`, *optional*):
        `minimum_short_edge` of runs over several scales or with a flip (`segvit_hf.segment`), where an original's
        multi-scale protocol has another rule than its single-scale one (SETR). `None`: the same rule.
    size_divisor (`int`, *optional*):
        A second uint8 resize, up to the next multiples of this number: `ResizeToMultiple` (ViT-Adapter).
    minimum_padded_size (`int`, *optional*):
        Sides shorter than this are padded with black at the bottom and right BEFORE normalization, labels with
        `ignore_index`: `PadShortSide` (ViT-Adapter's multi-scale runs). The network sees the padding; `segment` and
        `post_process_semantic_segmentation` cut it off again.
    minimum_input_short_edge (`int`, *optional*):
        Inputs with a shorter short side are enlarged after normalization, bilinearly, the long side truncated:
        what Segmenter does to images smaller than its window (`segm.model.utils.resize`).
    small_scale_divisor (`int`, *optional*):
        Keep-ratio resizes only. At scales below 1 the short side is rounded up to a multiple of this number: the views
        of DINOv3's multi-scale runs.
    resize_method (`"opencv"` or `"pil"`, *optional*, defaults to `"opencv"`):
        Whose bilinear resize of uint8 photos it is, bit for bit: OpenCV's, which does not antialias, or Pillow's,
        which does when it shrinks (DINOv3).
    do_reduce_labels (`bool`, *optional*, defaults to `False`):
        Whether 0 in label maps becomes `ignore_index`, every other id k becomes k - 1, and `ignore_index` stays.
    ignore_index (`int`, *optional*, defaults to 255):
        The label of pixels that belong to no class, in the label maps that are given and in the labels that are made:
        the model's `semantic_loss_ignore_index`. Labels are padded with it.
    """

    minimum_short_edge: int | None
    multi_scale_minimum_short_edge: int | None
    size_divisor: int | None
    minimum_padded_size: int | None
    minimum_input_short_edge: int | None
    small_scale_divisor: int | None
    resize_method: Literal["opencv", "pil"] | None
    do_reduce_labels: bool | None
    ignore_index: int | None


class SemanticSegmentationProcessing:
    """What the two backends have in common; mixed in before a backend of transformers.

    Pixels are computed by PyTorch in both: uint8 images are resized with cv2's fixed-point arithmetic, bit for bit, so
    that the backends agree exactly. They differ in what they need and give: the torchvision backend works on any
    device and gives tensors, the PIL backend works on the CPU, needs no torchvision and gives numpy arrays.

    What `segvit_hf.segment` asks of a processor, besides calling it with `scale` and `flip`: `for_several_views` (the
    processor for a multi-scale run), `get_input_geometry` (which scales lead to the same input, and how large it is)
    and `crop_to_content` (the logits without padding).
    """

    valid_kwargs: type = SemanticSegmentationImageProcessorKwargs
    model_input_names = ["pixel_values"]

    do_convert_rgb = True
    do_resize = True
    size: Any = {"shortest_edge": 512, "longest_edge": 2048}
    default_to_square = False
    resample = PILImageResampling.BILINEAR
    minimum_short_edge: int | None = None
    multi_scale_minimum_short_edge: int | None = None
    size_divisor: int | None = None
    minimum_padded_size: int | None = None
    minimum_input_short_edge: int | None = None
    small_scale_divisor: int | None = None
    resize_method = "opencv"
    do_rescale = True
    rescale_factor = 1 / 255
    do_normalize = True
    image_mean: Any = [0.5, 0.5, 0.5]
    image_std: Any = [0.5, 0.5, 0.5]
    do_reduce_labels = False
    ignore_index = DEFAULT_IGNORE_INDEX

    def __init__(self, **kwargs: Any) -> None:
        fields = {name: value for name, value in kwargs.items() if name not in SERVICE_KEYS}
        if "size" in fields and isinstance(fields["size"], SizeDict):
            fields["size"] = dict(fields["size"])
        self._check_names(fields)
        fields = with_floats(fields)
        validate_typed_dict(self.valid_kwargs, fields)
        super().__init__(**{**kwargs, **fields})
        self._validate_preprocess_kwargs(**{name: getattr(self, name, None) for name in self._field_names()})

    @classmethod
    def from_backbone(cls: type[Processor], backbone: str | Path, **fields: Any) -> Processor:
        """The image processor of a model with a pretrained backbone (`<Model>.from_backbone`).

        Args:
            backbone: As there.
            **fields: Fields that differ from what follows from the backbone, see `backbone_image_fields`.
        """
        return cls(**{**backbone_image_fields(backbone), **fields})

    @classmethod
    def _field_names(cls) -> list[str]:
        return list(cls.valid_kwargs.__annotations__)

    def _check_names(self, kwargs: dict[str, Any]) -> None:
        unknown = sorted(set(kwargs) - set(self._field_names()))
        if unknown:
            raise TypeError(
                f"{type(self).__name__}: unknown arguments {unknown}; known fields are {sorted(self._field_names())}."
            )

    def _validate_preprocess_kwargs(self, **kwargs: Any) -> None:
        """Reject what the processor would otherwise ignore or could not obey."""
        for name in ("do_center_crop", "do_pad", "crop_size", "pad_size"):
            if kwargs.get(name):
                raise ValueError(f"{name}={kwargs[name]} is not supported: a label map must cover the whole photo.")
        data_format = kwargs.get("data_format")
        if data_format is not None and ChannelDimension(data_format) != ChannelDimension.FIRST:
            raise ValueError(f"data_format={data_format} is not supported: the models read channels first.")
        if kwargs.get("do_resize") and kwargs.get("resample") not in (
            PILImageResampling.BILINEAR,
            PILImageResampling.NEAREST,
        ):
            raise ValueError(f"resample must be bilinear or nearest, found {kwargs.get('resample')}.")
        ignore_index = kwargs.get("ignore_index")
        if isinstance(ignore_index, bool) or not isinstance(ignore_index, int):
            raise ValueError(f"ignore_index: expected an integer, found {ignore_index!r}.")
        SizeRule.from_fields(kwargs)
        minimum = kwargs.get("multi_scale_minimum_short_edge")
        if minimum is not None:
            SizeRule.from_fields({**kwargs, "minimum_short_edge": minimum})
        for name in ("image_mean", "image_std"):
            if kwargs.get(name) is not None:
                per_channel(kwargs[name])
        super()._validate_preprocess_kwargs(**kwargs)  # type: ignore[misc]

    @property
    def size_rule(self) -> SizeRule:
        """The rule that the fields make, as they are set now."""
        return SizeRule.from_fields({name: getattr(self, name) for name in ("do_resize", "size", *RULE_NAMES)})

    def without_size_rules(self) -> "SemanticSegmentationProcessing":
        """A copy that takes photos and label maps as they are: it resizes, pads and reduces nothing; it normalizes."""
        processor = copy.deepcopy(self)
        processor.do_resize = False
        processor.do_reduce_labels = False
        for name in (*RULE_NAMES, "multi_scale_minimum_short_edge"):
            setattr(processor, name, None)
        return processor

    def get_input_geometry(self, height: int, width: int, scale: float = 1.0) -> InputGeometry:
        """The sizes that a photo of `height` x `width` pixels passes through on its way to the network."""
        return self.size_rule.geometry(height, width, scale)

    def for_several_views(self) -> "SemanticSegmentationProcessing":
        """The processor for a run over several scales or with a flip: see `multi_scale_minimum_short_edge`."""
        if self.multi_scale_minimum_short_edge is None:
            return self
        processor = copy.copy(self)
        processor.minimum_short_edge = self.multi_scale_minimum_short_edge
        return processor

    def preprocess(
        self,
        images: ImageInput,
        segmentation_maps: ImageInput | None = None,
        scale: float = 1.0,
        flip: bool = False,
        num_labels: int | None = None,
        **kwargs: Unpack[SemanticSegmentationImageProcessorKwargs],
    ) -> BatchFeature:
        """Make the network's input from photos, and labels from their label maps.

        Args:
            images: One photo or a list: PIL images of any mode, arrays or tensors (height, width[, channels]) or
                (channels, height, width), paths, URLs. Integers are 0..255 (uint16: 0..65535); floating-point values
                are 0..1 or 0..255, told apart by the image's maximum unless `do_rescale=False`.
            segmentation_maps: As many label maps, each one of what `segvit_hf.data.read_label_map` reads: local files,
                PIL images, integer arrays (height, width). They are resized like their image, by nearest neighbor.
            scale: Multiplies the limits in `size` as mmsegmentation's multi-scale runs do.
            flip: Mirror images and label maps left to right, after the resize.
            num_labels: Number of classes. If given, ids that are neither a class nor `ignore_index` are an error, and
                so is an `ignore_index` that is a class.
            kwargs: Fields of the processor that hold for this call only, and `return_tensors` ("pt" or "np"), `device`
                (torchvision backend), `input_data_format` ("channels_first" or "channels_last"; without it the
                channels of an array are where its shape has 1, 3 or 4, and a shape that has them at both ends is an
                error).

        Returns:
            `pixel_values` float32 (batch, channels, height, width); with label maps `labels` int64 (batch, height,
            width). If the processed images differ in size they are padded at the bottom and right to the largest
            height and width, with 0 (after normalization; labels with `ignore_index`), and `pixel_mask` int64 (batch,
            height, width) is 1 on images and 0 on padding. Without `return_tensors`: lists of unpadded tensors (PIL
            backend: arrays).

        Raises:
            ValueError, TypeError: Anything that is no photo or label map, unequal numbers or sizes of photos and
                label maps, RGB-coded masks, ids out of range, unknown or impossible arguments.
        """
        self._check_names(dict(kwargs))
        size = kwargs.get("size")
        if isinstance(size, SizeDict):
            kwargs["size"] = dict(size)
        return super().preprocess(  # type: ignore[misc]
            images, segmentation_maps, scale, flip, num_labels, **with_floats(kwargs)
        )

    def _preprocess_image_like_inputs(
        self,
        images: ImageInput,
        segmentation_maps: ImageInput | None = None,
        scale: float = 1.0,
        flip: bool = False,
        num_labels: int | None = None,
        **fields: Any,
    ) -> BatchFeature:
        rule = SizeRule.from_fields(fields)
        ignore_index: int = fields["ignore_index"]
        if num_labels is not None and 0 <= ignore_index < num_labels:
            raise ValueError(
                f"ignore_index: expected an id that is none of the {num_labels} classes, found {ignore_index}."
            )
        device = fields.get("device")
        photos = flatten_images(images)
        maps = None if segmentation_maps is None else flatten_label_maps(segmentation_maps, len(photos))
        pixel_values: list[Tensor] = []
        labels: list[Tensor] = []
        for index, photo in enumerate(photos):
            pixels = self.process_image(photo, fields.get("do_convert_rgb"), fields.get("input_data_format"), device)
            original = (pixels.shape[-2], pixels.shape[-1])
            geometry = rule.geometry(*original, scale)
            if maps is not None:
                label_map = read_labels(
                    maps[index],
                    num_labels=num_labels,
                    ignore_index=ignore_index,
                    reduce_zero_label=bool(fields.get("do_reduce_labels")),
                    source=f"segmentation_maps[{index}]",
                )
                if tuple(label_map.shape) != original:
                    raise ValueError(
                        f"segmentation_maps[{index}]: height and width are {tuple(label_map.shape)}, "
                        f"those of its image {original}."
                    )
                label_map = label_map.to(pixels.device)
                labels.append(self._process_label_map(label_map, geometry, flip, ignore_index))
            pixel_values.append(self._process_pixels(pixels, geometry, flip, fields))
        return self._batch(pixel_values, labels, ignore_index, fields.get("return_tensors"))

    def process_image(
        self,
        image: ImageInput,
        do_convert_rgb: bool | None = None,
        input_data_format: str | ChannelDimension | None = None,
        device: "str | torch.device | None" = None,
        **_kwargs: Any,
    ) -> Tensor:
        """One photo as a uint8 or float32 tensor (channels, height, width), before any processing."""
        data_format = None if input_data_format is None else ChannelDimension(input_data_format).value
        pixels = read_image(image, bool(do_convert_rgb), data_format)
        return pixels if device is None else pixels.to(device)

    def resize(
        self,
        image: Tensor,
        size: SizeDict | Size,
        resample: PILImageResampling | None = None,
        resize_method: str | None = None,
        **_kwargs: Any,
    ) -> Tensor:
        """Resize (channels, height, width) pixels to (height, width) or by the rule of a dictionary.

        `resize_method` is the processor's unless it is given. uint8 images give uint8 images, floating-point images
        are resized without rounding.
        """
        if not isinstance(size, tuple):
            size = SizeRule(dict(size)).geometry(image.shape[-2], image.shape[-1]).content
        if resample == PILImageResampling.NEAREST:
            return resize_nearest(image, *size)
        interpolate = resize_pil_bilinear if (resize_method or self.resize_method) == "pil" else resize_bilinear
        return interpolate(image, *size)

    def _process_pixels(self, pixels: Tensor, geometry: InputGeometry, flip: bool, fields: dict[str, Any]) -> Tensor:
        if pixels.is_floating_point() and fields.get("do_rescale"):
            pixels = float_range_to_255(pixels)
        for size in geometry.resizes:
            pixels = self.resize(pixels, size, fields["resample"], fields.get("resize_method"))
        if flip:
            pixels = pixels.flip(-1)
        pixels = _pad_bottom_right(pixels, geometry.padded, 0)
        rescale_factor = fields["rescale_factor"] if fields.get("do_rescale") else 1.0
        if fields.get("do_normalize"):
            mean, std = per_channel(fields["image_mean"]), per_channel(fields["image_std"])
            pixels = normalize(pixels, mean, std, rescale_factor)
        else:
            pixels = pixels.to(torch.float32) * rescale_factor
        return pixels if geometry.upsampled is None else resize_float_bilinear(pixels, *geometry.upsampled)

    def _process_label_map(self, label_map: Tensor, geometry: InputGeometry, flip: bool, ignore_index: int) -> Tensor:
        for size in geometry.resizes:
            label_map = resize_nearest(label_map, *size)
        if flip:
            label_map = label_map.flip(-1)
        label_map = _pad_bottom_right(label_map, geometry.padded, ignore_index)
        return label_map if geometry.upsampled is None else resize_nearest(label_map, *geometry.upsampled)

    def _batch(
        self, pixel_values: list[Tensor], labels: list[Tensor], ignore_index: int, return_tensors: Any
    ) -> BatchFeature:
        if return_tensors is None:
            return self._unbatched(pixel_values, labels)
        sizes = [(pixels.shape[-2], pixels.shape[-1]) for pixels in pixel_values]
        largest = (max(height for height, _ in sizes), max(width for _, width in sizes))
        channels = {pixels.shape[0] for pixels in pixel_values}
        if len(channels) > 1:
            raise ValueError(f"images: a batch needs equal numbers of channels, found {sorted(channels)}.")
        data = {"pixel_values": torch.stack([_pad_bottom_right(pixels, largest, 0) for pixels in pixel_values])}
        if labels:
            data["labels"] = torch.stack([_pad_bottom_right(label_map, largest, ignore_index) for label_map in labels])
        if len(set(sizes)) > 1:
            masks = [torch.ones(size, dtype=torch.int64, device=pixel_values[0].device) for size in sizes]
            data["pixel_mask"] = torch.stack([_pad_bottom_right(mask, largest, 0) for mask in masks])
        if str(getattr(return_tensors, "value", return_tensors)) == "np":
            return BatchFeature(data={name: tensor.cpu().numpy() for name, tensor in data.items()})
        return BatchFeature(data=data, tensor_type=return_tensors)

    def _unbatched(self, pixel_values: list[Any], labels: list[Any]) -> BatchFeature:
        data = {"pixel_values": pixel_values}
        if labels:
            data["labels"] = labels
        return BatchFeature(data=data)

    def post_process_semantic_segmentation(
        self,
        outputs: Any,
        target_sizes: Tensor | Sequence[Sequence[int]] | None = None,
        return_segmentation_scores: bool = False,
    ) -> list[Any]:
        """Label maps from a model's outputs, as the originals compute them at one scale.

        The logits are resized bilinearly (`align_corners=False`) and the class with the largest one is taken; classes
        are resized a few at a time, which bounds the memory for large photos.

        Args:
            outputs: The model's outputs with `logits` (batch, num_labels, height, width); where `image_sizes`
                (batch, 2) is set, each image's logits are cut to its (height, width) first.
            target_sizes: One (height, width) per image, the photos' sizes; `None`: the size of the logits.
            return_segmentation_scores: Also give the resized logits, all classes at once (not memory-bounded).

        Returns:
            One int64 tensor (height, width) per image, on the device of the logits; or, with scores, objects with
            `segmentation` and `segmentation_scores` (num_labels, height, width).

        Raises:
            ValueError: `target_sizes` does not hold one pair of positive integers per image.
        """
        logits = outputs.logits
        image_sizes = getattr(outputs, "image_sizes", None)
        sizes = None if target_sizes is None else check_target_sizes(target_sizes, len(logits))
        results: list[Any] = []
        for index, scores in enumerate(logits):
            if image_sizes is not None:
                height, width = (int(side) for side in image_sizes[index])
                scores = scores[:, :height, :width]
            if sizes is not None:
                scores = self.crop_to_content(scores, *sizes[index])
            size = (scores.shape[-2], scores.shape[-1]) if sizes is None else sizes[index]
            label_map = resized_argmax(scores, size)
            if return_segmentation_scores:
                data = {"segmentation": label_map, "segmentation_scores": resize_logits(scores, size)}
                results.append(SemanticSegmentationPostProcessorOutput(data=data))
            else:
                results.append(label_map)
        return results

    def crop_to_content(self, logits: Tensor, height: int, width: int, scale: float = 1.0) -> Tensor:
        """Cut off the logits' part that belongs to the padding of `minimum_padded_size`.

        Args:
            logits: (classes, logits height, logits width).
            height: The photo's in pixels.
            width: The photo's in pixels.
            scale: The `scale` it was processed with.

        Returns:
            (classes, content height, content width); logits of another size than the network's input as they are.
        """
        if self.minimum_padded_size is None:
            return logits
        geometry = self.get_input_geometry(height, width, scale)
        if tuple(logits.shape[-2:]) != geometry.network_input:
            return logits
        return logits[:, : geometry.content[0], : geometry.content[1]]


def _pad_bottom_right(tensor: Tensor, size: Size, value: int) -> Tensor:
    height, width = tensor.shape[-2:]
    if (height, width) == size:
        return tensor
    return F.pad(tensor, (0, size[1] - width, 0, size[0] - height), value=value)


class SemanticSegmentationImageProcessor(SemanticSegmentationProcessing, TorchvisionBackend):  # type: ignore[misc]
    """Image processor of plain-ViT segmentation models, torchvision backend (the default; any device, tensors).

    See [`SemanticSegmentationImageProcessorKwargs`] for the fields.
    """


class SemanticSegmentationImageProcessorPil(SemanticSegmentationProcessing, PilBackend):  # type: ignore[misc]
    """Image processor of plain-ViT segmentation models, PIL backend (CPU, no torchvision, numpy arrays).

    Pixels equal those of the torchvision backend: PIL's own bilinear resize always antialiases when it shrinks, which
    the originals do not, so PIL only reads and converts here.
    """

    def process_image(  # type: ignore[override]
        self,
        image: ImageInput,
        do_convert_rgb: bool | None = None,
        input_data_format: str | ChannelDimension | None = None,
        device: "str | torch.device | None" = None,  # noqa: ARG002
        **kwargs: Any,
    ) -> Tensor:
        """One photo as a uint8 or float32 CPU tensor (channels, height, width); `device` has no effect here."""
        return super().process_image(image, do_convert_rgb, input_data_format, "cpu", **kwargs)

    def _unbatched(self, pixel_values: list[Any], labels: list[Any]) -> BatchFeature:
        return super()._unbatched([pixels.numpy() for pixels in pixel_values], [ids.numpy() for ids in labels])


__all__ = [
    "SemanticSegmentationImageProcessor",
    "SemanticSegmentationImageProcessorKwargs",
    "SemanticSegmentationImageProcessorPil",
]
