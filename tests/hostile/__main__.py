"""`python -m tests.hostile`: tries all cases and prints a table of outcomes. Linux only."""

import argparse
import sys
import tempfile
import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file

from segvit_hf.cli.main import main as segvit_hf
from tests.hostile import bombs, configurations, damage, outputs, payloads, structures
from tests.hostile.cases import Case, good_state_dict, saved, segvit_words
from tests.hostile.harness import GOOD, OUTCOMES, Outcome, try_case

PARTS = {
    "payloads": payloads.cases,
    "bombs": bombs.cases,
    "structures": structures.cases,
    "damage": damage.cases,
    "configurations": configurations.cases,
    "outputs": outputs.cases,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 if every case ended as it should."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], default=[], help="which scripts (default: all)")
    parser.add_argument("--all-remarks", action="store_true", help="print every case, not only those that went wrong")
    parsed = parser.parse_args(arguments)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    peaks: list[tuple[int, str]] = []
    warnings.simplefilter("ignore")  # torch's about sparse and quantized tensors
    with tempfile.TemporaryDirectory(prefix="segvit-hf-hostile-") as folder:
        good = good_weights(Path(folder) / "good")
        for number, case in enumerate(case for part in parsed.parts or PARTS for case in PARTS[part]()):
            outcome = try_case(case, Path(folder) / str(number), good)
            counts[case.part][outcome.kind] += 1
            peaks.append((outcome.peak, f"{case.part}: {case.name}"))
            if outcome.kind not in GOOD or parsed.all_remarks:
                print(_line(case, outcome), flush=True)
    print_table(counts, peaks)
    return int(any(count for part in counts.values() for kind, count in part.items() if kind not in GOOD))


def good_weights(folder: Path) -> dict[str, torch.Tensor]:
    """The weights that the good file is converted to."""
    folder.mkdir()
    (folder / "weights.pth").write_bytes(saved({"state_dict": good_state_dict()}))
    assert segvit_hf(["convert", *segvit_words(folder)]) == 0
    return load_file(folder / "out" / "model.safetensors")


def print_table(counts: dict[str, Counter[str]], peaks: list[tuple[int, str]]) -> None:
    """Outcomes by part, and the largest peaks of memory."""
    print(f"\n| part | cases | {' | '.join(OUTCOMES)} |\n|---|---|{'---|' * len(OUTCOMES)}")
    total: Counter[str] = Counter()
    for part, outcomes in counts.items():
        total += outcomes
        print(_row(part, outcomes))
    print(_row("all", total))
    print("\nlargest peaks of memory beyond the start, MB:")
    for peak, name in sorted(peaks, reverse=True)[:12]:
        print(f"  {peak / 1e6:6.0f}  {name}")


def _row(name: str, outcomes: Counter[str]) -> str:
    return f"| {name} | {outcomes.total()} | {' | '.join(str(outcomes[kind]) for kind in OUTCOMES)} |"


def _line(case: Case, outcome: Outcome) -> str:
    cost = f"{outcome.seconds:.1f} s, {outcome.peak / 1e6:.0f} MB"
    return f"{outcome.kind}: {case.part}: {case.name} ({cost}): {outcome.remark}"


if __name__ == "__main__":
    sys.exit(main())
