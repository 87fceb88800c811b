"""Prints the lowest versions that pyproject.toml declares, as constraints for pip.

Run it with a Python in which the package is installed: its metadata has the requirements.
"""

from collections.abc import Iterable
from importlib.metadata import requires

from packaging.requirements import Requirement


def lowest_versions(requirements: Iterable[str]) -> list[str]:
    """`name==version` of every requirement that has a lower bound, extras included, sorted."""
    floors = {
        f"{requirement.name}=={bound.version}"
        for requirement in map(Requirement, requirements)
        for bound in requirement.specifier
        if bound.operator == ">="
    }
    return sorted(floors)


if __name__ == "__main__":
    print("\n".join(lowest_versions(requires("segvit-hf") or [])))
