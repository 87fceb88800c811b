"""Attention implementations, half precision and gradient checkpointing give the same model."""

import pytest
import torch

from segvit_hf._compat import enable_gradient_checkpointing
from tests.models.architectures import SmallModel


def test_eager_and_sdpa_agree(any_model: SmallModel) -> None:
    pixel_values = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        eager = any_model.build(attn_implementation="eager")(pixel_values).logits
        sdpa = any_model.build(attn_implementation="sdpa")(pixel_values).logits
    torch.testing.assert_close(eager, sdpa, rtol=1e-4, atol=1e-5)


def test_the_attention_implementation_can_be_changed_later(any_model: SmallModel) -> None:
    model = any_model.build(attn_implementation="sdpa")
    model.set_attn_implementation("eager")
    assert model(torch.randn(1, 3, 64, 64), output_attentions=True).attentions


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_close(any_model: SmallModel, dtype: torch.dtype) -> None:
    model = any_model.build()
    pixel_values, labels = torch.randn(1, 3, 80, 64), torch.randint(0, 5, (1, 80, 64))
    with torch.no_grad():
        torch.manual_seed(0)  # some losses are taken at random points
        full = model(pixel_values, labels=labels)
        torch.manual_seed(0)
        half = model.to(dtype)(pixel_values.to(dtype), labels=labels)
    assert half.logits.dtype == dtype
    tolerance = any_model.half_precision_tolerance
    assert (half.logits.float() - full.logits).abs().max() < tolerance * full.logits.abs().max()
    torch.testing.assert_close(half.loss.float(), full.loss, rtol=tolerance, atol=tolerance)


def test_autocast_trains(any_model: SmallModel) -> None:
    model = any_model.build().train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(torch.randn(2, 3, 64, 64), labels=torch.randint(0, 5, (2, 64, 64))).loss
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.grad is not None)


def test_gradient_checkpointing_changes_no_gradient(any_model: SmallModel) -> None:
    pixel_values, labels = torch.randn(2, 3, 64, 64), torch.randint(0, 5, (2, 64, 64))
    gradients = []
    for checkpointing in (False, True):
        model = any_model.build(drop_path_rate=0.0, decoder_dropout=0.0).train()
        if checkpointing:
            enable_gradient_checkpointing(model)
            assert model.is_gradient_checkpointing
        model(pixel_values, labels=labels).loss.backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


def test_a_batch_gives_what_its_images_give(any_model: SmallModel) -> None:
    model = any_model.build()
    pixel_values = torch.randn(3, 3, 64, 64)
    with torch.no_grad():
        together = model(pixel_values).logits
        alone = torch.cat([model(image[None]).logits for image in pixel_values])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5 * max(1.0, float(alone.abs().max())))
