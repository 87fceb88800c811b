"""What an installation brings: one top-level package with its data files, the same from a clone and from the sdist."""

import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import distributions
from pathlib import Path

import pytest

import segvit_hf

PROJECT = Path(__file__).parents[2]
DATA_FOLDERS = ("conversion/presets", "training/recipes")
NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "fixtures", "outputs")


def _run(*words: str, cwd: Path) -> None:
    result = subprocess.run([sys.executable, *words], cwd=cwd, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def _build_wheel(source: Path, folder: Path) -> Path:
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder))
    _run("-m", "pip", "wheel", *options, str(source), cwd=folder.parent)
    (wheel,) = folder.glob("*.whl")
    return wheel


def _installed_files(wheel: Path) -> set[str]:
    """The wheel's files without what describes the distribution."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, for builds to leave their files in."""
    return Path(shutil.copytree(PROJECT, tmp_path_factory.mktemp("clone") / "project", ignore=NOT_COPIED))


@pytest.fixture(scope="module")
def wheel(clone: Path) -> Path:
    return _build_wheel(clone, clone.parent / "wheel")


def test_the_wheel_has_the_packages_version(wheel: Path) -> None:
    assert wheel.name == f"segvit_hf-{segvit_hf.__version__}-py3-none-any.whl"


def test_one_top_level_name_is_installed(wheel: Path) -> None:
    assert {name.partition("/")[0] for name in _installed_files(wheel)} == {"segvit_hf"}


def test_the_sources_and_the_yaml_folders_are_installed_and_nothing_else(clone: Path, wheel: Path) -> None:
    sources = {path.relative_to(clone / "src").as_posix() for path in clone.glob("src/segvit_hf/**/*.*")}
    data = [path.name for folder in DATA_FOLDERS for path in (clone / folder).iterdir()]

    installed = _installed_files(wheel)

    assert sources <= installed
    assert sorted(name.rpartition("/")[2] for name in installed - sources) == sorted(data)


def test_the_source_distribution_gives_the_same_wheel(clone: Path, wheel: Path) -> None:
    build = "import setuptools.build_meta as backend; print(backend.build_sdist('sdist'))"
    _run("-c", build, cwd=clone)
    (source_distribution,) = (clone / "sdist").glob("*.tar.gz")

    again = _build_wheel(source_distribution, clone.parent / "wheel_again")

    assert _installed_files(again) == _installed_files(wheel)


def test_the_installed_command_is_the_commands_entry(wheel: Path) -> None:
    (distribution,) = distributions(path=[str(wheel)])
    (entry_point,) = distribution.entry_points
    assert (entry_point.group, entry_point.name) == ("console_scripts", "segvit-hf")
    with pytest.raises(SystemExit, match="^0$"):
        entry_point.load()(["--version"])


def test_an_installed_command_finds_its_data_outside_the_clone(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    program = (
        "import sys; sys.path.insert(0, 'installed'); import segvit_hf; print(segvit_hf.__file__);"
        "from segvit_hf.cli.main import main; sys.exit(main(['convert', '--list']))"
    )

    result = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(str(tmp_path / "installed"))
    assert "segvit-vit-b-ade20k" in result.stdout
