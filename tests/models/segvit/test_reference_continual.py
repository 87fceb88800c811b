"""A step of continual training with distillation equals the original's: losses, gradients, teachers and scores."""

import pytest
import torch

from segvit_hf import SegVitForSemanticSegmentation
from segvit_hf.conversion import convert_checkpoint
from segvit_hf.training.continual.distillation import Distillation
from segvit_hf.training.continual.plan import DistillationRecipe
from segvit_hf.training.continual.step_data import StepDataset
from tests.reference import (
    ReferenceCase,
    assert_close_to_reference,
    assert_gradient_norms_match,
    assert_losses_match,
    load_case,
)

TEACHER = "decode_head_freeze_0."


@pytest.fixture
def case() -> ReferenceCase:
    return load_case("segvit", "continual-cit-step1-train")


def teacher_of(case: ReferenceCase) -> SegVitForSemanticSegmentation:
    """The model that the first step ended with: 7 classes."""
    weights = {key: value for key, value in case.state_dict().items() if not key.startswith("decode_head.")}
    weights = {key.replace(TEACHER, "decode_head."): value for key, value in weights.items()}
    return convert_checkpoint("segvit", weights, {"model": case.arch}).model


def student_of(case: ReferenceCase) -> SegVitForSemanticSegmentation:
    """The same grown to 11 classes, with the student's weights, ready for the step."""
    student = teacher_of(case)
    student.add_classes(["a", "b", "c", "d"], share_decoder=True)
    converted = convert_checkpoint("segvit", case.state_dict(), {"model": case.arch}).model
    weights = converted.state_dict()
    queries = weights.pop("decoder.class_queries.weight")
    old, new = queries.split([7, 4])
    weights |= {"decoder.class_queries.weight": old, "decoder.added_groups.0.class_queries.weight": new}
    student.load_state_dict(weights)
    student.encoder.requires_grad_(False)
    for module in student.modules():  # the case has no dropout
        module.dropout = 0.0 if isinstance(getattr(module, "dropout", None), float) else getattr(module, "dropout", 0)
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return student.train()


def step_labels(case: ReferenceCase) -> torch.Tensor:
    """The labels as a step's data set shows them."""
    maps = [{"segmentation_map": labels.numpy()} for labels in case.labels()]
    first, last = case.meta["labels"]["class_range"]
    dataset = StepDataset(maps, range(len(maps)), {i: i for i in range(first - 1, last)}, 255)
    return torch.stack([torch.from_numpy(dataset[index]["segmentation_map"]) for index in range(len(maps))])


def test_losses_and_gradients_of_the_step_equal_the_original(case: ReferenceCase) -> None:
    student = student_of(case)
    Distillation(student.config, [teacher_of(case).decoder], DistillationRecipe()).attach(student.decoder)
    labels = step_labels(case)
    assert_close_to_reference(labels, case, "labels_after_loading", tolerance=0)
    output = student(case.pixel_values(), labels=labels)
    expected = {key.removeprefix("decode."): value for key, value in case.meta["losses"].items() if "loss" in key}
    assert_losses_match(output.losses, expected)
    assert_losses_match({"total": output.loss}, {"total": case.meta["total"]})
    output.loss.backward()
    decoder = student.decoder
    old, new = decoder.class_queries.weight.grad, decoder.newest_group().class_queries.weight.grad
    gradients = {
        "backbone.pos_embed": student.encoder.embeddings.position_embeddings.grad,
        "decode_head.q.weight": torch.cat([old, new]),
        "decode_head.q.weight.old": old,
        "decode_head.q.weight.new": new,
        "decode_head.input_proj_1.weight": decoder.stages[0].input_projection.weight.grad,
        "decode_head.decoder_1.layers.0.linear1.weight": decoder.stages[0].layers[0].mlp.fc1.weight.grad,
        "decode_head.decoder_3.layers.2.multihead_attn.q.weight": (
            decoder.stages[2].layers[2].mask_attention.query.weight.grad
        ),
        "decode_head.class_embed.weight": decoder.class_head.weight.grad,
        "decode_head.class_embed.bias": decoder.class_head.bias.grad,
        "decode_head_freeze_0.q.weight": None,
    }
    assert_gradient_norms_match(
        {key: None if value is None else value.norm() for key, value in gradients.items()}, case
    )


def test_the_class_loss_of_the_step_has_no_gradient_for_older_queries(case: ReferenceCase) -> None:
    student = student_of(case)
    student(case.pixel_values(), labels=step_labels(case)).losses["loss_ce"].backward()
    gradient = student.decoder.class_queries.weight.grad
    assert gradient is None or not gradient.any()


def test_teachers_and_the_grown_models_scores_equal_the_original(case: ReferenceCase) -> None:
    student, teacher = student_of(case).eval(), teacher_of(case)
    with torch.no_grad():
        assert_close_to_reference(student(case.pixel_values()).logits, case, "logits")
        feature_maps = student.encoder(case.pixel_values()).feature_maps
        ((class_logits, mask_logits),) = teacher.decoder.predict(teacher.decoder, feature_maps)
    assert_close_to_reference(class_logits, case, "teacher.pred_logits")
    mask_logits = torch.nn.functional.interpolate(mask_logits, size=(64, 64), mode="bilinear")
    assert_close_to_reference(mask_logits, case, "teacher.pred_masks")


@pytest.mark.parametrize("field", ["class_factor", "mask_factor"])
def test_a_factor_weighs_its_part_alone(case: ReferenceCase, field: str) -> None:
    student, teacher = student_of(case), teacher_of(case)
    distillation = Distillation(student.config, [teacher.decoder], DistillationRecipe(**{field: 0.0}))
    distillation.attach(student.decoder)
    losses = student(case.pixel_values(), labels=step_labels(case)).losses
    part = "cls" if field == "class_factor" else "attn"
    assert {name for name, loss in losses.items() if loss == 0} == {
        name for name in losses if f"loss_{part}_diff" in name
    }
