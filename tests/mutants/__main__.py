"""`make mutants`, or `python -m tests.mutants [PART ...]`: how many one-line bugs the tests notice.

A part is a table in this folder (`models`, `conversion`, ...); all of them by default.
"""

import argparse
import sys
from collections import Counter

from tests.mutants.runner import (
    REPOSITORY,
    Mutant,
    copied,
    import_slowly,
    read_tables,
    run_mutant,
    run_tests,
    what_failed,
)

WANTED_RATE = 0.95


def main() -> int:
    """Returns 0 if at least 95 % of the mutants are killed, else 1; 2 if the tests fail without a bug."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__.splitlines()[0])
    parser.add_argument("parts", metavar="PART", nargs="*", help="tables of this folder (default: all)")
    parser.add_argument("--only", metavar="TEXT", default="", help="mutants whose name or file has this text")
    parser.add_argument("--timeout", metavar="SECONDS", type=float, default=600.0, help="for the tests of one mutant")
    parser.add_argument("--no-baseline", action="store_true", help="do not run the tests without a bug first")
    options = parser.parse_args()
    mutants = [m for m in read_tables(options.parts) if options.only in f"{m.name} {m.file}"]
    if not mutants:
        parser.error("no mutant of that name.")
    import_slowly()
    with copied(REPOSITORY) as copy:
        tests = sorted({test for mutant in mutants for test in mutant.tests})
        if not options.no_baseline and run_tests(tests, copy, 10 * options.timeout) != 0:
            print(f"the tests fail without a bug: {what_failed(copy)}", file=sys.stderr)
            return 2
        outcomes = []
        for mutant in mutants:
            outcomes.append(run_mutant(mutant, copy, options.timeout))
            print(_line(mutant, outcomes[-1].status, outcomes[-1].seconds, outcomes[-1].remark), flush=True)
    counts = Counter(outcome.status for outcome in outcomes)
    rate = counts["killed"] / len(outcomes)
    print(f"{counts['killed']} of {len(outcomes)} killed ({100 * rate:.1f} %), {counts['survived']} survived", end="")
    print(f", {counts['void']} void" if counts["void"] else "")
    return 0 if rate >= WANTED_RATE else 1


def _line(mutant: Mutant, status: str, seconds: float, remark: str) -> str:
    return f"{status:8}  {seconds:5.1f} s  {mutant.file}: {mutant.name}" + (f"  ({remark})" if remark else "")


if __name__ == "__main__":
    sys.exit(main())
