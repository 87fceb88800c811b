"""Who teaches whom: a class is taught by the decoder of the step in which it was new, and only in training."""

import copy

import torch

from segvit_hf import SegVitForSemanticSegmentation
from segvit_hf.training.continual.distillation import Distillation
from segvit_hf.training.continual.plan import DistillationRecipe
from tests.models.architectures import NUM_LABELS, SMALL_MODELS

LABELS = torch.full((1, 64, 64), NUM_LABELS + 3)


def grown_twice() -> tuple[SegVitForSemanticSegmentation, Distillation]:
    """A model of three steps, and the decoders that the first two ended with, all with weights of their own."""
    model = SMALL_MODELS["segvit-v2"].build(decoder_dropout=0.0, drop_path_rate=0.0)
    teachers = []
    for names in (["a", "b"], ["c", "d"]):
        decoder = copy.deepcopy(model.decoder)
        for parameter in decoder.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
        teachers.append(decoder)
        model.add_classes(names, share_decoder=True)
    return model, Distillation(model.config, teachers, DistillationRecipe())


def test_every_group_is_taught_by_the_decoder_of_its_own_step() -> None:
    model, distillation = grown_twice()
    with torch.no_grad():
        feature_maps = model.encoder(torch.randn(1, 3, 64, 64)).feature_maps
        taught = distillation.teach(feature_maps)
        for step, (teacher, found) in enumerate(zip(distillation.teachers, taught, strict=True)):
            expected = teacher.predict_groups(feature_maps, return_auxiliary=True)[step]
            for (class_logits, masks), (expected_logits, expected_masks) in zip(found, expected, strict=True):
                assert torch.equal(class_logits, expected_logits)
                assert torch.equal(masks, expected_masks)
    assert [predictions[-1][0].shape[1] for predictions in taught] == [NUM_LABELS, 2]


def test_only_training_is_distilled_and_teachers_learn_nothing() -> None:
    model, distillation = grown_twice()
    handle = distillation.attach(model.decoder)
    pixel_values = torch.randn(1, 3, 64, 64)
    assert not any("diff" in name for name in model.eval()(pixel_values, labels=LABELS).losses)
    model.train()(pixel_values, labels=LABELS).loss.backward()
    assert all(parameter.grad is None for teacher in distillation.teachers for parameter in teacher.parameters())
    assert not any(module.training for teacher in distillation.teachers for module in teacher.modules())
    assert not any("teacher" in name for name in model.state_dict())
    handle.remove()
    assert not any("diff" in name for name in model(pixel_values, labels=LABELS).losses)
