"""Our models with the weights of DINOv2's and DINOv3's reference cases."""

from segvit_hf.conversion import ConvertedCheckpoint, convert_checkpoint
from tests.reference import ReferenceCase, case_names, load_case

DINO_FAMILIES = ("dinov2", "dinov3")


def dino_cases(pattern: str) -> list[tuple[str, str]]:
    """Families and names of the cases that match a shell pattern, sorted."""
    return [(family, name) for family in DINO_FAMILIES for name in case_names(family, pattern)]


def convert_dino(family: str, name: str) -> tuple[ReferenceCase, ConvertedCheckpoint]:
    """A case, and our model, which runs inputs whole, as they were recorded."""
    case = load_case(family, name)
    original = {"model": case.arch, "protocol": case.meta.get("protocol")}
    converted = convert_checkpoint(family, case.state_dict(), original)
    converted.model.config.sliding_window = None
    return case, converted
