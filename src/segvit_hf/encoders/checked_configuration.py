"""Numbers that no configuration may have, refused for every encoder and decoder by one declaration each."""

import math
import re
from collections.abc import Sequence
from typing import Any, ClassVar

from transformers import PreTrainedConfig

from segvit_hf._compat import strict

# What is built one after the other. A million layers would be built for hours, whatever their size; no ViT has 100.
_IS_DEPTH = re.compile(r"num_(\w+_)?(layers|convolutions)$")
_DEEPEST = 1000


@strict
class CheckedConfig(PreTrainedConfig):
    """A configuration whose classes declare which fields are sizes, which are probabilities, and which are fixed."""

    model_type = "segvit_hf_checked"
    # Fields that an architecture does not have, and the value that they must keep.
    fixed_fields: ClassVar[dict[str, Any]] = {}
    # Sizes and counts, single or several, and rates. Architectures add those of their decoders.
    positive_fields: ClassVar[tuple[str, ...]] = ()
    probability_fields: ClassVar[tuple[str, ...]] = ()

    def validate_architecture(self) -> None:
        """Part of `@strict` validation: fields that contradict each other are an error that names them."""
        self._check_numbers()
        for name, value in self.fixed_fields.items():
            if getattr(self, name) != value:
                raise ValueError(
                    f"{name}: expected {value!r}, for {type(self).__name__} has no other form, found "
                    f"{getattr(self, name)!r}."
                )

    def _check_numbers(self) -> None:
        for name in self.positive_fields:
            value = getattr(self, name)
            if value is not None and min(value if isinstance(value, Sequence) else (value,)) < 1:
                raise ValueError(f"{name}: expected at least 1, found {value}.")
        for name in self.probability_fields:
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise ValueError(f"{name}: expected a probability of at least 0 and less than 1, found {value}.")
        for name, value in vars(self).items():
            if _IS_DEPTH.search(name) and isinstance(value, int) and value > _DEEPEST:
                raise ValueError(f"{name}: expected at most {_DEEPEST}, found {value}.")
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name}: expected a finite number, found {value}.")


__all__ = ["CheckedConfig"]
