"""The values of weights: which types and numbers a model takes, and that no two of its parameters are one tensor."""

from collections.abc import Mapping

import torch

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.messages import shown

# What becomes float32 without a scale that is kept elsewhere: not float8, not integers, not complex numbers.
_FLOATING = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
# The only buffer of our models that is no floating-point number: how many batches a batch norm has seen.
_COUNTER = "num_batches_tracked"
_MOST_SHOWN = 10


def read_values(
    weights: Mapping[str, torch.Tensor], sources: Mapping[str, str], *, allow_nonfinite: bool = False, advice: str = ""
) -> dict[str, torch.Tensor]:
    """The tensors of a model: on the CPU, float32 (counters: int64), each with memory of its own.

    Args:
        weights: Original names to tensors, of our shapes.
        sources: Our names to original names.
        allow_nonfinite: Whether NaN, infinity and what is infinite in float32 are taken.
        advice: What the message says of taking them.

    Raises:
        ConversionError: A tensor is of another type or kind, or not finite; lists the original names.
    """
    check_types(weights, sources)
    values = {name: _converted(weights[key], name) for name, key in sources.items()}
    if not allow_nonfinite:
        _check_finite(weights, sources, values, advice)
    return _separate(values)


def check_types(weights: Mapping[str, torch.Tensor], sources: Mapping[str, str]) -> None:
    """Checks that tensors hold plain floating-point numbers (counters: whole ones). Arguments as in `read_values`.

    Raises:
        ConversionError: They do not; lists the original names.
    """
    wrong = [(key, _kind(weights[key])) for name, key in sources.items() if not _fits(weights[key], name)]
    if wrong:
        raise ConversionError(
            "Expected weights of floating-point numbers (float32, float16, bfloat16 or float64); what is quantized or "
            f"packed must be restored by the code that wrote it. Found:\n{_lines(wrong)}"
        )


def _fits(tensor: torch.Tensor, name: str) -> bool:
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta or tensor.is_nested:
        return False
    return tensor.dtype in _FLOATING or (name.endswith(_COUNTER) and tensor.dtype in _WHOLE)


def _kind(tensor: torch.Tensor) -> str:
    kind = str(tensor.dtype).removeprefix("torch.")
    if tensor.is_meta:
        return f"{kind} without values (on the meta device)"
    if tensor.is_nested:
        return f"{kind}, nested"
    layout = str(tensor.layout).removeprefix("torch.")
    return kind if tensor.layout is torch.strided else f"{kind}, {layout}"


def _converted(tensor: torch.Tensor, name: str) -> torch.Tensor:
    return tensor.detach().to("cpu", torch.int64 if name.endswith(_COUNTER) else torch.float32)


def _check_finite(
    weights: Mapping[str, torch.Tensor], sources: Mapping[str, str], values: Mapping[str, torch.Tensor], advice: str
) -> None:
    wrong = [(key, _what_is_wrong(weights[key])) for name, key in sources.items() if not _is_finite(values[name])]
    if wrong:
        raise ConversionError(
            f"Expected finite weights: with others a model labels every pixel alike.{advice} Found:\n{_lines(wrong)}"
        )


def _is_finite(tensor: torch.Tensor) -> bool:
    # The smallest and the largest value need no memory, and NaN is both.
    return tensor.numel() == 0 or all(bool(torch.isfinite(extreme)) for extreme in torch.aminmax(tensor))


def _what_is_wrong(tensor: torch.Tensor) -> str:
    if tensor.isnan().any():
        return "NaN"
    return "infinity" if tensor.isinf().any() else f"{tensor.dtype} beyond float32".removeprefix("torch.")


def _separate(values: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Gives a tensor of its own to every name whose memory an earlier one has; training one would change both.

    Parts of one tensor that do not overlap keep their memory, yet no longer as one storage: when a model is saved,
    such parts would be copied. One number that is seen as a whole tensor is left as it is: it takes no memory, and
    training it is an error.
    """
    seen: dict[int, list[torch.Tensor]] = {}
    separate = {}
    for name, tensor in values.items():
        storage = tensor.untyped_storage()
        earlier = seen.setdefault(storage.data_ptr(), [])
        if tensor.numel() > 1 and not any(tensor.stride()):
            separate[name] = tensor
        elif any(_overlap(tensor, other) for other in earlier):
            separate[name] = tensor.clone()
        elif tensor.is_contiguous() and tensor.nbytes < storage.nbytes():
            separate[name] = torch.from_numpy(tensor.numpy())
        else:
            separate[name] = tensor
        earlier.append(tensor)
    return separate


def _overlap(tensor: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors of one storage may have an element in common."""
    if not (tensor.is_contiguous() and other.is_contiguous()):
        return True
    starts, ends = zip(*((part.data_ptr(), part.data_ptr() + part.nbytes) for part in (tensor, other)), strict=True)
    return max(starts) < min(ends)


def _lines(found: list[tuple[str, str]]) -> str:
    lines = [f"  {shown(key)}: {what}" for key, what in found[:_MOST_SHOWN]]
    if len(found) > _MOST_SHOWN:
        lines.append(f"  ... and {len(found) - _MOST_SHOWN} more")
    return "\n".join(lines)


__all__ = ["check_types", "read_values"]
