"""Lay out transformers' own common tests, of the release that is installed, so that they can run on our classes.

The tests are part of transformers' source distribution, not of the installed package. The distribution is downloaded
once a release with pip; its common tests become the package `tests_common` in a cache folder that git ignores. The few
helpers that those files import and that the distribution lacks get stand-ins.

    python -m tests.transformers_suite.prepare
"""

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path, PurePosixPath

from filelock import FileLock

CACHE = Path(__file__).resolve().parents[2] / ".cache"
COMMON_TESTS = ("test_*_common.py", "test_*_mixin.py")

# Options every configuration accepts; the suite sets them and reads them back.
CONFIGURATION_OPTIONS = """
config_common_kwargs = {
    "architectures": ["AnyModel"],
    "chunk_size_feed_forward": 3,
    "dtype": "float16",
    "id2label": {0: "sky", 1: "road"},
    "label2id": {"sky": "0", "road": "1"},
    "output_attentions": True,
    "output_hidden_states": True,
    "problem_type": "single_label_classification",
    "return_dict": False,
}
"""

# The suite reads its sample pictures from the Hub. Ours are drawn from the address, so that no network is needed.
SAMPLE_PICTURES = """
import zlib

import numpy as np
from PIL import Image

WIDTH, HEIGHT, BLOCK = 640, 480, 16


def url_to_local_path(url):
    random = np.random.default_rng(zlib.crc32(url.encode()))
    if url.endswith(".png"):  # a label map
        blocks = random.integers(0, 150, (HEIGHT // BLOCK, WIDTH // BLOCK), dtype=np.uint8)
        return Image.fromarray(blocks).resize((WIDTH, HEIGHT), Image.Resampling.NEAREST)
    blocks = random.integers(0, 256, (HEIGHT // BLOCK, WIDTH // BLOCK, 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
"""

STAND_INS = {
    "tests_common/__init__.py": "",
    # Mixins of test families that do not concern us: export recipes for deployment, text generation.
    "tests_common/exporters/__init__.py": "",
    "tests_common/exporters/test_export.py": "class ExportTesterMixin:\n    pass\n",
    "tests_common/generation/__init__.py": "",
    "tests_common/generation/test_utils.py": "class GenerationTesterMixin:\n    pass\n",
    "tests_common/utils/__init__.py": "",
    "tests_common/utils/test_configuration_utils.py": CONFIGURATION_OPTIONS,
    "tests_common/third_party.py": (
        "from tests.transformers_suite.third_party import VisionModelTesterMixin, declare  # noqa: F401\n"
    ),
    # test_image_processing_common.py looks for it in the folder `utils` beside its own.
    "utils/fetch_hub_objects_for_ci.py": SAMPLE_PICTURES,
}


class SuiteUnavailableError(RuntimeError):
    """transformers' source distribution could not be had; the message says why."""


def prepare() -> Path:
    """Return the folder to put on `sys.path` for `import tests_common`, making it first where it is missing.

    Safe to call from several processes at once: one of them makes the folder, the others wait.

    Raises:
        SuiteUnavailableError: if the source distribution of the installed release cannot be downloaded.
    """
    release = version("transformers")
    digest = hashlib.sha256(json.dumps(STAND_INS).encode()).hexdigest()[:8]
    folder = CACHE / f"transformers-{release}-{digest}"
    if folder.is_dir():
        return folder
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(CACHE / f"{folder.name}.lock"):
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=CACHE, prefix=f"{folder.name}-") as scratch:
                archive = _download_source_distribution(release, Path(scratch) / "download")
                layout = Path(scratch) / "layout"
                _extract_common_tests(archive, layout / "tests_common")
                _write_stand_ins(layout)
                os.replace(layout, folder)
    return folder


def _download_source_distribution(release: str, destination: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--retries", "1", "--timeout", "20", "--no-deps", "--no-binary", "transformers"]
    command += ["--dest", str(destination), f"transformers=={release}"]
    outcome = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    archives = sorted(destination.glob("transformers-*.tar.gz"))
    if outcome.returncode != 0 or len(archives) != 1:
        errors = [line for line in outcome.stderr.splitlines() if line.startswith("ERROR")] or ["no archive came"]
        raise SuiteUnavailableError(
            f"transformers' common tests need the source distribution of transformers {release}, "
            f"which pip could not download: {errors[-1]}"
        )
    return archives[0]


def _extract_common_tests(archive: Path, package: Path) -> None:
    package.mkdir(parents=True)
    with tarfile.open(archive) as distribution:
        for member in distribution:
            path = PurePosixPath(member.name)
            is_top_level_test = len(path.parts) == 3 and path.parts[1] == "tests"
            if not (is_top_level_test and any(path.match(pattern) for pattern in COMMON_TESTS)):
                continue
            content = distribution.extractfile(member)
            if content is not None:
                (package / path.name).write_bytes(content.read())
    if not (package / "test_modeling_common.py").exists():
        raise SuiteUnavailableError(f"{archive.name} holds no tests/test_modeling_common.py")


def _write_stand_ins(layout: Path) -> None:
    for name, text in STAND_INS.items():
        path = layout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    print(prepare())
