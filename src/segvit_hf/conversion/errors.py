"""The error that every conversion step raises for bad input."""


class ConversionError(ValueError):
    """A checkpoint, a configuration or a file that cannot be converted; the message says what was expected."""


__all__ = ["ConversionError"]
