"""What only Segmenter does: its rule for small inputs, its decoder's attention, its loss."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from huggingface_hub.errors import StrictDataclassError
from PIL import Image
from transformers import pipeline

from segvit_hf import (
    SegmenterConfig,
    SegmenterForSemanticSegmentation,
    SegmenterImageProcessor,
    SegmenterImageProcessorPil,
    segment,
)
from tests.models.architectures import SMALL_MODELS
from tests.reference import FIXTURES

WINDOW = {"crop_size": [64, 64], "stride": [48, 48]}


def build(**fields: object) -> SegmenterForSemanticSegmentation:
    return SMALL_MODELS["segmenter"].build(**fields)


def test_a_small_photo_takes_one_resize_through_the_processor() -> None:
    """The processor's rule gives what the original computes: enlarged logits go to the photo's size at once."""
    model = build(sliding_window=WINDOW)
    with Image.open(FIXTURES / "photos" / "coffee.png") as picture:
        photo = picture.convert("RGB").resize((50, 40))
    image_processor = SegmenterImageProcessor(minimum_input_short_edge=64)
    inputs = image_processor(images=photo, return_tensors="pt")
    assert inputs["pixel_values"].shape[-2:] == (64, 80)
    with torch.no_grad():
        logits = model(**inputs).logits
    expected = F.interpolate(logits, size=(40, 50), mode="bilinear", align_corners=False)[0].argmax(0)
    assert torch.equal(segment(model, image_processor, photo), expected)


def test_decoder_attentions_are_recorded_for_every_window() -> None:
    model = build(sliding_window=WINDOW)
    output = model(torch.randn(1, 3, 64, 112), output_attentions=True)  # two windows of 4x4 patches
    assert [attention.shape for attention in output.decoder_attentions] == [(2, 1, 21, 21)] * 2
    for attention in output.decoder_attentions:
        torch.testing.assert_close(attention.sum(-1), torch.ones(2, 1, 21))
    assert model(torch.randn(1, 3, 64, 64)).decoder_attentions is None


def test_labels_without_any_class_cost_nothing() -> None:
    model = build().train()
    output = model(torch.randn(1, 3, 64, 64), labels=torch.full((1, 64, 64), 255))
    assert output.loss.item() == 0
    output.loss.backward()
    assert not any(parameter.grad.any() for parameter in model.parameters())


@pytest.mark.parametrize("backend", ["torchvision", "pil"])
def test_the_pipeline_gives_the_label_map_of_segment(backend: str) -> None:
    classes = ["sky", "road", "tree", "house", "person"]
    model = build(sliding_window=WINDOW, id2label=dict(enumerate(classes)))
    kind = SegmenterImageProcessor if backend == "torchvision" else SegmenterImageProcessorPil
    image_processor = kind(minimum_input_short_edge=64)
    with Image.open(FIXTURES / "photos" / "astronaut.png") as picture:
        photo = picture.convert("RGB").resize((90, 75))
    results = pipeline("image-segmentation", model=model, image_processor=image_processor)(photo)
    expected = segment(model, image_processor, photo).numpy()
    assert {result["label"] for result in results} == {classes[index] for index in np.unique(expected)}
    for result in results:
        np.testing.assert_array_equal(np.asarray(result["mask"]) > 0, expected == classes.index(result["label"]))


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"decoder_num_layers": 0}, "decoder_num_layers must be at least 1"),
        ({"decoder_hidden_size": 100, "decoder_num_attention_heads": 3}, r"decoder_hidden_size \(100\)"),
        ({"encoder_out_indices": [5, 11]}, r"encoder_out_indices must be \[11\]"),
    ],
)
def test_a_contradiction_names_the_field(fields: dict, named: str) -> None:
    with pytest.raises((StrictDataclassError, ValueError), match=named):
        SegmenterConfig(**fields)


BEIT = {"use_relative_position_bias": True, "use_position_embeddings": False}


def test_a_beit_encoder_leaves_the_decoder_as_it_is() -> None:
    plain, model = build(), build(**BEIT).train()
    assert list(model.decoder.state_dict()) == list(plain.decoder.state_dict())
    labels = torch.randint(0, 5, (2, 48, 80))
    output = model(torch.randn(2, 3, 48, 80), labels=labels, output_attentions=True)
    output.loss.backward()
    assert len(output.attentions) == model.config.num_hidden_layers
    assert len(output.decoder_attentions) == model.config.decoder_num_layers
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_the_decoder_has_no_layer_scale() -> None:
    model = build(layer_scale_init_value=0.1)
    scaled = [name for name, _ in model.named_parameters() if "layer_scale" in name]
    assert scaled == [f"encoder.layers.{layer}.layer_scale{i}" for layer in range(4) for i in (1, 2)]


def test_the_decoder_follows_the_encoders_width() -> None:
    config = SegmenterConfig(hidden_size=192, num_attention_heads=3)
    assert (config.decoder_hidden_size, config.decoder_num_attention_heads) == (192, 3)
    assert config.decoder_intermediate_size == 768
