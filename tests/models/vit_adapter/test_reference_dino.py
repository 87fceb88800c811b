"""ViT-Adapter with Mask2Former on DINOv2 and DINOv3 equals the originals on every recorded small model."""

import pytest
import torch

from tests.models.dino_models import convert_dino, dino_cases
from tests.reference import assert_close_to_reference

TOLERANCE = 1e-5
CASES = dino_cases("tiny-m2f-*")
# Of a few hundred queries' logits after nine layers.
PREDICTION_TOLERANCE = 3e-5


@pytest.mark.parametrize("attn_implementation", ["eager", "sdpa"])
@pytest.mark.parametrize(("family", "name"), CASES)
def test_logits_and_features_equal_the_original(family: str, name: str, attn_implementation: str) -> None:
    case, converted = convert_dino(family, name)
    converted.model.set_attn_implementation(attn_implementation)
    with torch.no_grad():
        assert_close_to_reference(converted.model(case.pixel_values()).logits, case, "logits", TOLERANCE)
        feature_maps = converted.model.encoder(case.pixel_values()).feature_maps
    for number, feature_map in enumerate(feature_maps, start=1):
        assert_close_to_reference(feature_map, case, f"feature.{number}", TOLERANCE)


@pytest.mark.parametrize(("family", "name"), CASES)
def test_every_prediction_equals_the_original(family: str, name: str) -> None:
    case, converted = convert_dino(family, name)
    decoder, outputs = converted.model.decoder, case.meta["outputs"]
    with torch.no_grad():
        feature_maps = converted.model.encoder(case.pixel_values()).feature_maps
        mask_features, memories = decoder.pixel_decoder(feature_maps)
        predictions = decoder.predict(feature_maps, return_auxiliary=True)
    if "mask_features" in outputs:
        assert_close_to_reference(mask_features, case, "mask_features", TOLERANCE)
    for index, memory in enumerate(memories):
        if f"memory.{index}" in outputs:
            assert_close_to_reference(memory, case, f"memory.{index}", TOLERANCE)
    recorded = [index for index in range(len(predictions)) if f"cls.{index}" in outputs]
    assert recorded
    assert len(predictions) - 1 in recorded
    for index in recorded:
        class_logits, mask_logits = predictions[index]
        assert_close_to_reference(class_logits, case, f"cls.{index}", PREDICTION_TOLERANCE)
        assert_close_to_reference(mask_logits, case, f"masks.{index}", PREDICTION_TOLERANCE)


@pytest.mark.parametrize(("family", "name"), dino_cases("tiny-m2f-vit*"))
def test_the_taken_layers_are_normalized_patches(family: str, name: str) -> None:
    case, converted = convert_dino(family, name)
    encoder = converted.model.encoder
    with torch.no_grad():
        maps = encoder.run_backbone(case.pixel_values()).feature_maps
    for index, feature_map in enumerate(maps):
        recorded = case.meta["outputs"][f"layer.{index}"]
        tokens = feature_map.flatten(2).transpose(1, 2)
        assert list(tokens.shape) == recorded["shape"]
        stride = recorded["stride"]
        expected = case.tensors[f"layer.{index}"]
        torch.testing.assert_close(tokens[:, ::stride], expected, rtol=0, atol=TOLERANCE * recorded["absmax"])
