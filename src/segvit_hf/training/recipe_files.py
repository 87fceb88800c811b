"""The files of recipes: by path or by name, over the recipes that they are based on."""

import difflib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from segvit_hf.training.recipe_parsing import RecipeError, describe, read_yaml

# Mappings that are values, not sections: whoever changes one of them means all of it.
_WHOLE = ("data.train", "data.validation", "image_processor.*", "model.config.*")


def list_recipes() -> list[str]:
    """Names of the recipes that are shipped with the package; not those that others are only based on."""
    return sorted(path.stem for path in _shipped_folder().glob("*.yaml") if not path.name.startswith("_"))


def find_recipe(recipe: str | Path) -> Path:
    """The file of a recipe, given by its path or, if it is a shipped one, by its name.

    Raises:
        RecipeError: There is neither; the message names similar recipes.
    """
    path = Path(recipe).expanduser()
    if path.is_file():
        return path
    shipped = _shipped_folder() / f"{recipe}.yaml"
    if Path(recipe).name == str(recipe) and shipped.is_file():
        return shipped
    if path.exists():
        kind = "a folder" if path.is_dir() else "a pipe or a device"
        raise RecipeError(f"{recipe}: expected a recipe's file, found {kind}.")
    close = difflib.get_close_matches(path.stem, list_recipes(), n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise RecipeError(
        f"{recipe}: expected a recipe's file, or a name that `segvit-hf train --list` shows, found neither{hint}."
    )


def read_based_yaml(path: Path, based_on_it: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The mapping of a recipe's file, over that of the recipe which its `base` names, and so on.

    Args:
        path: The file.
        based_on_it: The files on the way to it, each of which has the next one as its base.

    Raises:
        RecipeError: A base does not exist, or recipes are based on one another in a circle.
    """
    way = (*based_on_it, path)
    if path.resolve() in [earlier.resolve() for earlier in based_on_it]:
        circle = " -> ".join(file.name for file in way)
        raise RecipeError(f"{way[0]}: base: expected a recipe that is based on no other in the end, found {circle}.")
    values = read_yaml(path)
    base = values.pop("base", None)
    return values if base is None else merge_recipes(read_based_yaml(_find_base(base, path), way), values)


def merge_recipes(base: Mapping[str, Any], changes: Mapping[str, Any], key: str = "") -> dict[str, Any]:
    """A new mapping with all of `base` and `changes`, in which the latter win; sections are merged field by field.

    Args:
        base: Nested mapping of recipe fields.
        changes: Another one.
        key: Dotted path of both, empty at the top.
    """
    merged = dict(base)
    for name, value in changes.items():
        inner, before = f"{key}.{name}" if key else name, merged.get(name)
        if isinstance(before, Mapping) and isinstance(value, Mapping) and not _is_whole(inner, key):
            value = merge_recipes(before, value, inner)
        merged[name] = value
    return merged


def _is_whole(key: str, section: str) -> bool:
    return key in _WHOLE or f"{section}.*" in _WHOLE


def _find_base(base: Any, path: Path) -> Path:
    if not isinstance(base, str):
        raise RecipeError(
            f"{path}: base: expected a file in the same folder or a recipe's name, found {describe(base)}."
        )
    beside = path.parent / base
    if beside.is_file():
        return beside
    try:
        return find_recipe(base)
    except RecipeError as error:
        raise RecipeError(f"{path}: base: {error}") from error


def _shipped_folder() -> Path:
    return Path(str(files("segvit_hf.training.recipes")))


__all__ = ["find_recipe", "list_recipes", "merge_recipes", "read_based_yaml"]
