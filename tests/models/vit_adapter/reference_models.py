"""Our ViT-Adapter with the weights of a reference case."""

from segvit_hf.conversion import ConvertedCheckpoint, convert_checkpoint
from tests.reference import ReferenceCase


def convert(case: ReferenceCase) -> ConvertedCheckpoint:
    """Our model and image processor."""
    original = {
        "model": case.arch,
        "test_pipeline": case.meta.get("protocol", {}).get("test_pipeline"),
        "reduce_zero_label": case.meta.get("protocol", {}).get("reduce_zero_label", False),
    }
    return convert_checkpoint("vit_adapter", case.state_dict(), original)
