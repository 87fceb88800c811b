"""Packages: what is below `src`, and the YAML folders that people read and edit in a clone.

The rest is in pyproject.toml, which can find packages or name them, but not both.
"""

from setuptools import find_packages, setup

DATA_FOLDERS = {
    "segvit_hf.presets_data": "conversion/presets",
    "segvit_hf.training.recipes": "training/recipes",
}

setup(packages=[*find_packages("src"), *DATA_FOLDERS], package_dir={"": "src", **DATA_FOLDERS})
