"""What model cards say differently of segmentation models, classifiers and detectors."""

from dataclasses import dataclass

_SEGMENTATION_USE = """\
from PIL import Image

import segvit_hf
from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation

model = AutoModelForSemanticSegmentation.from_pretrained("{folder}")
image_processor = AutoImageProcessor.from_pretrained("{folder}")
label_map = segvit_hf.segment(model, image_processor, Image.open("photo.jpg"))  # (height, width), int64
```

`import segvit_hf` registers the architecture with transformers: install the package segvit-hf. Without that line, pass
`trust_remote_code=True` to both `from_pretrained` (the package must still be installed).
`pipeline("image-segmentation", model=model, image_processor=image_processor)` gives the same label map."""

_PIPELINE_USE = """\
import segvit_hf  # registers the architecture
from transformers import pipeline

found = pipeline("{pipeline}", model="{folder}")("photo.jpg")
```

`import segvit_hf` registers the architecture with transformers: install the package segvit-hf. Without that line, pass
`trust_remote_code=True` (the package must still be installed)."""

_BIASES = """\
- It carries the biases of its training photographs. Do not use it where a wrong label can harm somebody."""

_SEGMENTATION_LIMITS = f"""\
- The model labels every pixel with one of its training classes; what is none of them gets the nearest one.
{_BIASES}
- Other input sizes than the training crop work (position embeddings are interpolated, larger inputs are run in
  sliding windows), with lower accuracy far from it."""


@dataclass(frozen=True)
class CardTask:
    """The texts of one task.

    Attributes:
        pipeline: transformers' name of the task.
        tag: The task among the tags of the card.
        kind: What the model is.
        use: How it is loaded and run, from inside a block of code on; with a placeholder for the folder.
        limits: Lines about what it cannot do.
        columns: Titles of the published numbers.
    """

    pipeline: str
    tag: str
    kind: str
    use: str
    limits: str
    columns: tuple[str, ...]


CARD_TASKS = {
    "segmentation": CardTask(
        "image-segmentation",
        "semantic-segmentation",
        "semantic segmentation model",
        _SEGMENTATION_USE,
        _SEGMENTATION_LIMITS,
        ("mIoU, single scale", "mIoU, multi-scale + flip"),
    ),
    "classification": CardTask(
        "image-classification",
        "image-classification",
        "image classifier",
        _PIPELINE_USE.replace("{pipeline}", "image-classification"),
        f"- The model names one of its training classes for every photo, also where none of them is seen.\n{_BIASES}",
        ("top-1 accuracy",),
    ),
    "detection": CardTask(
        "object-detection",
        "object-detection",
        "object detector",
        _PIPELINE_USE.replace("{pipeline}", "object-detection"),
        f"- The model finds objects of its training classes alone.\n{_BIASES}",
        ("box AP",),
    ),
}


__all__ = ["CARD_TASKS", "CardTask"]
