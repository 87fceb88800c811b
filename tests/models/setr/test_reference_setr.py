"""SETR equals the original implementation on every recorded case."""

from collections.abc import Sequence

import pytest
import torch

from segvit_hf import SetrForSemanticSegmentation, segment
from segvit_hf.conversion import ConvertedCheckpoint, convert_checkpoint
from tests.reference import (
    LABEL_MAP_AGREEMENT,
    ReferenceCase,
    assert_close_to_reference,
    assert_gradient_norms_match,
    assert_label_map_matches,
    assert_losses_match,
    case_names,
    gradient_norms,
    load_case,
)

TINY_CASES = case_names("setr", "tiny-*")
# More than one pixel in a hundred of this case has two classes that nearly tie.
PUP_AGREEMENT = 0.995


def convert(case: ReferenceCase) -> ConvertedCheckpoint:
    names = ("test_cfg", "test_pipeline")
    return convert_checkpoint(
        "setr", case.state_dict(), {"model": case.arch, **{name: case.meta.get(name) for name in names}}
    )


def feature_maps_of(model: SetrForSemanticSegmentation, pixel_values: torch.Tensor) -> Sequence[torch.Tensor]:
    """The maps that the decoder and the auxiliary heads read."""
    return model.neck(model.encoder(pixel_values).feature_maps)


@pytest.mark.parametrize("attn_implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("name", TINY_CASES)
def test_logits_of_every_head_equal_the_original(name: str, attn_implementation: str) -> None:
    case = load_case("setr", name)
    model = convert(case).model
    model.set_attn_implementation(attn_implementation)
    pixel_values = case.pixel_values()
    size = pixel_values.shape[-2:]
    with torch.no_grad():
        assert_close_to_reference(model(pixel_values).logits, case, "logits")
        feature_maps = feature_maps_of(model, pixel_values)
        for index, head in enumerate(model.auxiliary_decoders()):
            assert_close_to_reference(head(feature_maps, size).logits, case, f"aux_{index}.logits")


@pytest.mark.parametrize("name", TINY_CASES)
def test_feature_maps_equal_the_original(name: str) -> None:
    case = load_case("setr", name)
    model = convert(case).model
    with torch.no_grad():
        hidden_states = model.encoder(case.pixel_values(), output_hidden_states=True).hidden_states
        feature_maps = feature_maps_of(model, case.pixel_values())
    recorded = [output for output in case.meta["outputs"] if output.startswith("backbone_out.")]
    assert recorded
    for output in recorded:
        index = int(output.split(".")[1])
        # The original's naive and progressive encoders return tokens; the first hidden state is the embeddings.
        found = feature_maps[index] if model.config.decoder_type == "mla" else hidden_states[index + 1]
        assert_close_to_reference(found, case, output)


@pytest.mark.parametrize("name", TINY_CASES)
def test_losses_and_gradients_equal_the_original(name: str) -> None:
    case = load_case("setr", name)
    converted = convert(case)
    # In eval mode, as batch norm was when they were recorded: no other module acts differently in training.
    output = converted.model(case.pixel_values(), labels=case.labels())
    recorded = {key: value for key, value in case.meta["losses"].items() if "loss" in key}
    assert_losses_match({"loss": output.loss, **output.losses}, recorded)
    output.loss.backward()
    assert_gradient_norms_match(gradient_norms(case, converted.model, converted.report), case)


def test_mla_never_shows_its_class_token_to_the_encoder() -> None:
    case = load_case("setr", "tiny-mla")
    model = convert(case).model
    model(case.pixel_values(), labels=case.labels()).loss.backward()
    embeddings = model.encoder.embeddings
    assert embeddings.cls_token.grad is None or not embeddings.cls_token.grad.any()
    assert not embeddings.position_embeddings.grad[:, 0].any()
    assert embeddings.position_embeddings.grad[:, 1:].any()


@pytest.mark.parametrize("name", case_names("setr", "e2e-*"))
def test_the_label_map_of_a_photo_equals_the_original(name: str) -> None:
    case = load_case("setr", name)
    converted = convert(case)
    augmentation = case.meta["test_pipeline"][1]
    label_map = segment(
        converted.model,
        converted.image_processor,
        case.photo(),
        scales=augmentation.get("img_ratios", (1.0,)),
        flip=augmentation["flip"],
    )
    assert_label_map_matches(label_map, case, agreement=PUP_AGREEMENT if "pup" in name else LABEL_MAP_AGREEMENT)


def test_a_processor_of_both_protocols_resizes_by_the_number_of_views() -> None:
    case = load_case("setr", "e2e-mla-ms-flip")
    multi_scale = case.meta["test_pipeline"]
    augmentation = multi_scale[1]
    plain = [{"type": "Resize", "keep_ratio": True}, *augmentation["transforms"][1:]]
    single_scale = [multi_scale[0], {**augmentation, "transforms": plain}]
    original = {"model": case.arch, "test_cfg": case.meta["test_cfg"], "test_pipeline": single_scale}
    converted = convert_checkpoint("setr", case.state_dict(), {**original, "multi_scale_test_pipeline": multi_scale})
    model, image_processor, photo = converted.model, converted.image_processor, case.photo()
    label_map = segment(model, image_processor, photo, scales=augmentation["img_ratios"], flip=True)
    assert_label_map_matches(label_map, case)
    # A single view is the photo within 90 x 90 pixels, both sides limited.
    sizes: list[torch.Size] = []
    hook = model.register_forward_pre_hook(
        lambda _, __, inputs: sizes.append(inputs["pixel_values"].shape), with_kwargs=True
    )
    segment(model, image_processor, photo)
    hook.remove()
    assert sizes == [(1, 3, 60, 90)]


@pytest.mark.parametrize("name", case_names("setr", "e2e-*"))
def test_photos_are_resized_as_in_the_original(name: str) -> None:
    case = load_case("setr", name)
    augmentation = case.meta["test_pipeline"][1]
    image_processor = convert(case).image_processor
    width, height = case.photo().size
    sizes = [
        list(image_processor.get_input_geometry(height, width, ratio).network_input)
        for ratio in augmentation.get("img_ratios", (1.0,))
        for _ in range(2 if augmentation["flip"] else 1)
    ]
    assert sizes == case.meta["resized_shapes"]
