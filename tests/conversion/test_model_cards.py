"""The cards in model_cards/ are those of the table, and their metadata is valid."""

from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

from segvit_hf.conversion.cards import conversion_summary, main, own_model_card, released_model_card
from segvit_hf.conversion.released_checkpoint import published
from segvit_hf.conversion.released_checkpoints import RELEASED_CHECKPOINTS, ReleasedCheckpoint, get_released_checkpoint

CARDS = Path(__file__).parents[2] / "model_cards"
each_checkpoint = pytest.mark.parametrize("checkpoint", RELEASED_CHECKPOINTS, ids=lambda checkpoint: checkpoint.name)


@each_checkpoint
def test_the_cards_are_up_to_date(checkpoint: ReleasedCheckpoint) -> None:
    card = (CARDS / f"{checkpoint.name}.md").read_text(encoding="utf-8")
    assert card == released_model_card(checkpoint), "run `python -m segvit_hf.conversion.cards --output model_cards`"


def test_there_is_no_card_without_a_checkpoint() -> None:
    assert {file.stem for file in CARDS.glob("*.md")} == {checkpoint.name for checkpoint in RELEASED_CHECKPOINTS}


def test_the_command_writes_all_cards(tmp_path: Path) -> None:
    assert main(["--output", str(tmp_path / "cards")]) == 0
    assert len(list((tmp_path / "cards").iterdir())) == len(RELEASED_CHECKPOINTS)


@each_checkpoint
def test_metadata_and_published_numbers(checkpoint: ReleasedCheckpoint) -> None:
    text = released_model_card(checkpoint)
    metadata = ModelCard(text).data.to_dict()
    assert metadata == yaml.safe_load(text.split("---\n")[1])
    if checkpoint.family == "segvit":
        assert metadata["license"] == "other"
        assert metadata["license_link"].startswith("https://")
        assert metadata["base_model"] == checkpoint.repository
        assert "non-commercial" in text
    else:
        assert metadata["license"] == checkpoint.publication.license_name
        assert checkpoint.url is None or (checkpoint.base_url or checkpoint.url) in text
    assert metadata["pipeline_tag"] == "image-segmentation"
    assert metadata["datasets"] == [checkpoint.dataset_id]
    assert f"| {published(checkpoint.miou_single_scale)} | {published(checkpoint.miou_multi_scale)} |" in text
    assert "not measured again" in text
    assert f"@inproceedings{{{checkpoint.publication.citation_key}" in text


@pytest.mark.parametrize(
    ("name", "origin", "advice"),
    [
        ("setr-pup-vit-l-ade20k", "that [its authors link](https://drive.google.com/", "download\nthe file by hand"),
        ("setr-pup-deit-b-ade20k", "The weights were not released.", "trained with the authors' configuration"),
        ("setr-mmseg-pup-vit-l-ade20k", "in the folder https://download.openmmlab.com/", "fetched from there"),
    ],
)
def test_a_card_says_where_the_file_is(name: str, origin: str, advice: str) -> None:
    text = released_model_card(get_released_checkpoint(name))
    assert origin in text
    assert advice in text


def test_a_card_of_a_users_own_file_claims_nothing() -> None:
    text = own_model_card("segvit", "latest.pth", "Converted by hand.", "mine")
    assert ModelCard(text).data.to_dict()["license"] == "unknown"
    assert "mIoU" not in text
    assert "latest.pth" in text


def test_the_conversion_summary_counts_and_explains() -> None:
    provenance = {"segvit_hf_version": "1.0", "file": "a.pth", "size_in_bytes": 12, "sha256": "abc"}
    report = {"a": "b", "c": "dropped: no use", "d": "dropped: no use"}
    text = conversion_summary(report, provenance)
    assert "1 of 3 entries" in text
    assert "2 were dropped (no use)" in text
