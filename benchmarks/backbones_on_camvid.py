"""Every decoder on a pretrained backbone, frozen and fine-tuned, for the same CPU time each: mIoU on CamVid's val.

    python benchmarks/backbones_on_camvid.py --backbone DINOV2_SMALL --camvid CAMVID --output DIR [--cpu-minutes 2]
    python benchmarks/backbones_on_camvid.py --table --output DIR        # the table of the rows that are there

Each row is a run of `training/finetune.py`, whose command is printed and kept, in a process of its own (for its peak
memory). A few steps tell how many steps the CPU time is worth; the schedule ends with them. CPU time is that of
training alone, of all threads, without loading and evaluation.
"""

import argparse
import itertools
import json
import resource
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CLASSES = (
    *("sky", "building", "pole", "road", "pavement", "tree"),
    *("sign_symbol", "fence", "car", "pedestrian", "bicyclist"),
)
CALIBRATION_STEPS = 7
COMMON = [
    "model.config.sliding_window=null",
    "image_processor.size={height: 364, width: 490}",
    "augmentation.size=[2072, 364]",
    "augmentation.scale_range=[0.75, 1.5]",
    "augmentation.crop_size=[224, 224]",
    "augmentation.photometric_distortion=false",
    "batch.effective_size=4",
    "batch.per_device_size=4",
    "optimizer.learning_rate=5.0e-5",
    "schedule.warmup_steps=10",
    "runtime.mixed_precision=bf16",
    "data.workers=0",
    "evaluation.every_steps=null",
    "checkpoint.every_steps=null",
    "logging.tensorboard=false",
]
# Decoder -> its recipe, and what makes it small enough for minutes on a CPU.
DECODERS = {
    "linear": ("segmenter-linear-backbone", []),
    "Segmenter mask": ("segmenter-mask-backbone", []),
    "SegViT": (
        "segvit-backbone",
        [
            "model.config.decoder_hidden_size=192",
            "model.config.decoder_num_attention_heads=6",
            "model.config.mask_size=224",
        ],
    ),
    "SETR-PUP": ("setr-pup-backbone", ["model.config.decoder_hidden_size=64"]),
    "ViT-Adapter + UperNet": (
        "vit-adapter-upernet-backbone",
        ["model.config.decoder_hidden_size=96", "model.config.auxiliary_hidden_size=64"],
    ),
    "ViT-Adapter + Mask2Former": (
        "vit-adapter-mask2former-backbone",
        [
            "model.config.decoder_hidden_size=128",
            "model.config.num_queries=50",
            "model.config.pixel_decoder_num_layers=2",
            "model.config.pixel_decoder_intermediate_size=512",
            "model.config.decoder_num_layers=3",
            "model.config.decoder_intermediate_size=512",
            "model.config.num_points=2048",
        ],
    ),
}
ROWS = [(name, training) for training in ("frozen", "fine-tuned") for name in DECODERS]


def row_name(decoder: str, training: str) -> str:
    """The name of a row's folder."""
    return f"{decoder}-{training}".replace(" + ", "-").replace(" ", "-").lower()


def command(arguments: argparse.Namespace, decoder: str, training: str, steps: int) -> list[str]:
    """The words after `python training/finetune.py`."""
    recipe, settings = DECODERS[decoder]
    data = arguments.camvid
    words = ["--config", recipe, "--backbone", arguments.backbone]
    words += ["--freeze-encoder" if training == "frozen" else "--no-freeze-encoder", "--max-steps", str(steps)]
    for part, name in (("train", "train"), ("val", "val")):
        words += [f"--{part}-images", f"{data}/images/{name}", f"--{part}-annotations", f"{data}/annotations/{name}"]
    words += ["--classes", str(Path(arguments.output) / "classes.txt")]
    for setting in [*COMMON, *settings]:
        words += ["--set", setting]
    return words


def train(words: list[str], output: Path) -> list[float]:
    """Runs `finetune.py`; returns the CPU time in seconds at the end of every step."""
    from segvit_hf.cli import main as program
    from segvit_hf.training import loop

    times: list[float] = []
    step = loop._Training._step

    def timed(self: Any) -> None:
        step(self)
        times.append(time.process_time())

    loop._Training._step = timed  # type: ignore[method-assign]
    try:
        status = program.main(["train", *words, "--output", str(output)])
    finally:
        loop._Training._step = step  # type: ignore[method-assign]
    if status:
        raise SystemExit(status)
    return times


def seconds_per_step(times: list[float]) -> float:
    """The median over steps."""
    return statistics.median(after - before for before, after in itertools.pairwise(times))


def run_row(arguments: argparse.Namespace, decoder: str, training: str) -> None:
    """Calibrates, trains, and writes `<output>/<row>.json`."""
    from transformers import AutoModelForSemanticSegmentation

    output = Path(arguments.output) / row_name(decoder, training)
    trial = train(
        [*command(arguments, decoder, training, 10**4), "--stop-at-step", str(CALIBRATION_STEPS)],
        output.with_name(f"{output.name}-calibration"),
    )
    steps = max(int(60 * arguments.cpu_minutes / seconds_per_step(trial)), 12)
    words = command(arguments, decoder, training, steps)
    times = train(words, output)
    model = AutoModelForSemanticSegmentation.from_pretrained(output / "model")
    evaluation = json.loads((output / "evaluation.json").read_text())
    row = {
        "decoder": decoder,
        "training": training,
        "mean_iou": evaluation["mean_iou"],
        "trained_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "steps": steps,
        "cpu_seconds_per_step": seconds_per_step(times),
        "cpu_seconds": times[-1] - times[0],
        "peak_memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "command": shlex.join(["python", "training/finetune.py", *words, "--output", str(output)]),
    }
    output.with_suffix(".json").write_text(json.dumps(row, indent=2))


def table(folder: Path) -> str:
    """The rows that are there, in Markdown."""
    lines = [
        "| decoder | backbone | val mIoU | trained parameters | steps | CPU s a step | peak memory |",
        "|---|---|---|---|---|---|---|",
    ]
    for decoder, training in ROWS:
        file = folder / f"{row_name(decoder, training)}.json"
        if file.exists():
            row = json.loads(file.read_text())
            lines.append(
                f"| {decoder} | {training} | {100 * row['mean_iou']:.1f} | {row['trained_parameters'] / 1e6:.2f} M "
                f"| {row['steps']} | {row['cpu_seconds_per_step']:.2f} | {row['peak_memory'] / 2**30:.1f} GiB |"
            )
    return "\n".join(lines)


def main() -> None:
    """Runs the rows that are missing, or prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone")
    parser.add_argument("--camvid")
    parser.add_argument("--output", required=True)
    parser.add_argument("--cpu-minutes", type=float, default=2.0)
    parser.add_argument("--row", nargs=2, metavar=("DECODER", "TRAINING"))
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    folder = Path(arguments.output)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    if arguments.row:
        run_row(arguments, *arguments.row)
    elif not arguments.table:
        for decoder, training in ROWS:
            if not (folder / f"{row_name(decoder, training)}.json").exists():
                subprocess.run([sys.executable, *sys.argv, "--row", decoder, training], check=False)
    print(table(folder))


if __name__ == "__main__":
    main()
