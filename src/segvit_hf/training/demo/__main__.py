"""The demonstration, `python -m segvit_hf.training.demo`.

Generates scenes, fine-tunes a model on them, reloads it, segments held-out scenes and draws them. Ends with status 1
if the mIoU on held-out scenes is below 0.8.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation, pipeline

import segvit_hf  # noqa: F401 - registers the architectures with the Auto classes
from segvit_hf._compat import disable_progress_bar
from segvit_hf.data.folders import SegmentationFolders
from segvit_hf.metrics.mean_iou import ConfusionMatrix
from segvit_hf.training.demo.pictures import PictureRow, draw_rows
from segvit_hf.training.demo.scenes import CLASS_NAMES, PALETTE, write_scenes

TRAINING_SCENES, HELD_OUT_SCENES, SHOWN_SCENES = 240, 40, 4
REQUIRED_MEAN_IOU = 0.8
RECIPE = "segvit-tiny-folders"


def make_data(folder: Path) -> dict[str, Path]:
    """Writes training scenes, held-out scenes and the class list; returns them by the flag that names them."""
    train_images, train_annotations = write_scenes(folder / "train", seed=1, count=TRAINING_SCENES)
    val_images, val_annotations = write_scenes(folder / "val", seed=2, count=HELD_OUT_SCENES)
    lines = [f"{name} {' '.join(map(str, color))}" for name, color in zip(CLASS_NAMES, PALETTE, strict=True)]
    (folder / "classes.txt").write_text("\n".join(lines) + "\n")
    return {
        "--train-images": train_images,
        "--train-annotations": train_annotations,
        "--val-images": val_images,
        "--val-annotations": val_annotations,
        "--classes": folder / "classes.txt",
    }


def finetune(data: dict[str, Path], output: Path, overrides: Sequence[str]) -> None:
    """Runs `segvit-hf train`.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    command = [sys.executable, "-m", "segvit_hf.training", "--config", RECIPE, "--output", str(output)]
    command += [argument for flag, path in data.items() for argument in (flag, str(path))]
    command += [argument for override in overrides for argument in ("--set", override)]
    print("$", " ".join(command), flush=True)
    # Threads that wait for each other actively make training many times slower where the cores are shared.
    environment = {"OMP_WAIT_POLICY": "passive", **os.environ}
    subprocess.run(command, check=True, env=environment)


def segment_held_out(model_folder: Path, photos: SegmentationFolders) -> tuple[ConfusionMatrix, list[PictureRow]]:
    """Reloads the model through the Auto classes and segments every held-out scene with transformers' pipeline."""
    model = AutoModelForSemanticSegmentation.from_pretrained(model_folder)
    image_processor = AutoImageProcessor.from_pretrained(model_folder)
    segmenter = pipeline("image-segmentation", model=model, image_processor=image_processor)
    confusion = ConfusionMatrix(len(CLASS_NAMES))
    rows = []
    for photo in photos:
        prediction = np.full(photo["segmentation_map"].shape, 255, dtype=np.int64)
        for segment in segmenter(Image.fromarray(photo["image"])):
            prediction[np.asarray(segment["mask"]) > 0] = model.config.label2id[segment["label"]]
        confusion.update(prediction, photo["segmentation_map"])
        rows.append(PictureRow(photo["image"], prediction, photo["segmentation_map"]))
    return confusion, rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the demonstration; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m segvit_hf.training.demo", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("outputs/demo"), help="folder (its contents are replaced)")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="SECTION.FIELD=VALUE")
    options = parser.parse_args(arguments)
    started = time.perf_counter()
    disable_progress_bar()
    for name in ("data", "run"):
        shutil.rmtree(options.output / name, ignore_errors=True)
    data = make_data(options.output / "data")
    print(f"{TRAINING_SCENES} training scenes and {HELD_OUT_SCENES} held-out scenes in {options.output / 'data'}")
    finetune(data, options.output / "run", options.overrides)

    held_out = SegmentationFolders(data["--val-images"], data["--val-annotations"], num_labels=len(CLASS_NAMES))
    confusion, rows = segment_held_out(options.output / "run" / "model", held_out)
    mean_iou = float(confusion.compute()["mean_iou"])
    in_training = json.loads((options.output / "run" / "evaluation.json").read_text())["mean_iou"]
    picture = draw_rows(rows[:SHOWN_SCENES], options.output / "overlay.png")
    print(
        f"mIoU on held-out scenes: {mean_iou:.4f} by the reloaded model's pipeline, "
        f"{in_training:.4f} at the end of training"
    )
    print(f"pictures: {picture}")
    print(f"model:    {options.output / 'run' / 'model'}")
    print(f"{time.perf_counter() - started:.0f} seconds")
    if mean_iou < REQUIRED_MEAN_IOU:
        print(f"error: expected a mIoU of at least {REQUIRED_MEAN_IOU}, found {mean_iou:.4f}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
