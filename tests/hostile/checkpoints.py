"""Checkpoints that are not as they were written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from segvit_hf.training.checkpoints import STATE_FILE


def change_state(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def flip_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


FILES = ["model.safetensors", "optimizer.bin", "random_states_of_process_0.pt"]
# Damage of `step-00000004`: the file, what happens to it, and what the message says.
DAMAGES: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    **{f"{name} cut": (name, cut, f"expected {name} of ") for name in FILES},
    **{f"{name} empty": (name, empty, f"expected {name} of ") for name in FILES},
    **{f"{name} flipped": (name, flip_bit, f"expected {name} as it was written") for name in FILES},
    **{f"{name} missing": (name, Path.unlink, f"expected the file {name}, found none") for name in FILES},
    "state empty": (STATE_FILE, empty, f"expected JSON in {STATE_FILE}"),
    "state cut": (STATE_FILE, cut, f"expected JSON in {STATE_FILE}"),
    "state {}": (STATE_FILE, lambda path: path.write_text("{}"), "expected step (int)"),
    "state a list": (STATE_FILE, lambda path: path.write_text("[1]"), "expected step (int)"),
    "state nested": (STATE_FILE, lambda path: path.write_text("[" * 100_000), f"expected JSON in {STATE_FILE}"),
    "state of no progress": (STATE_FILE, lambda path: change_state(path, progress=None), "expected progress (dict)"),
    "step of text": (STATE_FILE, lambda path: change_state(path, step="4"), "expected step (int)"),
    "step of another folder": (STATE_FILE, lambda path: change_state(path, step=3), "expected step 4"),
    "step too large": (STATE_FILE, lambda path: change_state(path, step=999), "expected step 4"),
    "step negative": (STATE_FILE, lambda path: change_state(path, step=-3), "expected step 4"),
}
