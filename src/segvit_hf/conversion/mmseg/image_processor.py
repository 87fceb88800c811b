"""What an original configuration of mmsegmentation says of its image processor, whichever release it is for."""

from collections.abc import Mapping
from typing import Any

from segvit_hf.conversion.labels import reduces_labels
from segvit_hf.conversion.mmseg.packed_pipeline import is_packed_pipeline, packed_processor_arguments
from segvit_hf.conversion.mmseg.test_pipeline import image_processor_arguments


def original_processor_arguments(original: Mapping[str, Any], **without: Any) -> dict[str, Any]:
    """What an original configuration says of its image processor.

    Args:
        original: `reduce_zero_label` (whether label 0 of the data set's maps means "no class"), `test_pipeline` and,
            for mmsegmentation 1.x, `model.data_preprocessor` are read; all are optional.
        without: Fields to set where a pipeline that is given does without the step, unlike our defaults.

    Returns:
        `do_reduce_labels`, and what `image_processor_arguments` reads from the pipeline.

    Raises:
        ConversionError: If a step or a setting of the pipeline is not supported, naming it.
    """
    arguments: dict[str, Any] = {"do_reduce_labels": reduces_labels(original, default=False)}
    pipeline = original.get("test_pipeline")
    if pipeline and is_packed_pipeline(pipeline):
        model = original.get("model")
        preprocessor = model.get("data_preprocessor") if isinstance(model, Mapping) else None
        arguments.update({**without, **packed_processor_arguments(pipeline, preprocessor)})
    elif pipeline:
        arguments.update({**without, **image_processor_arguments(pipeline)})
    return arguments


__all__ = ["original_processor_arguments"]
