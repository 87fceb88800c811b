"""The cards in model_cards/ and the tables of CHECKPOINTS.md are those of the presets; their metadata is valid."""

from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

from segvit_hf import get_preset, list_presets
from segvit_hf.conversion import checkpoint_tables
from segvit_hf.conversion.cards import conversion_summary, main, own_model_card, released_model_card
from segvit_hf.conversion.checkpoint_tables import format_score, markdown_tables

REPOSITORY = Path(__file__).parents[2]
CARDS = REPOSITORY / "model_cards"
each_preset = pytest.mark.parametrize("name", list_presets())


@each_preset
def test_the_cards_are_up_to_date(name: str) -> None:
    card = (CARDS / f"{name}.md").read_text(encoding="utf-8")
    assert card == released_model_card(get_preset(name)), (
        "run `python -m segvit_hf.conversion.cards --output model_cards`"
    )


def test_there_is_no_card_without_a_preset() -> None:
    assert {file.stem for file in CARDS.glob("*.md")} == set(list_presets())


def test_the_command_writes_all_cards(tmp_path: Path) -> None:
    assert main(["--output", str(tmp_path / "cards")]) == 0
    assert len(list((tmp_path / "cards").iterdir())) == len(list_presets())


def test_the_tables_are_up_to_date(tmp_path: Path) -> None:
    assert checkpoint_tables.main(["--output", str(tmp_path / "tables.md")]) == 0
    assert (tmp_path / "tables.md").read_text(encoding="utf-8") == markdown_tables()
    found = (REPOSITORY / "CHECKPOINTS.md").read_text(encoding="utf-8")
    assert found == markdown_tables(), "run `python -m segvit_hf.conversion.checkpoint_tables --output CHECKPOINTS.md`"
    assert all(f"| `{name}` |" in found for name in list_presets())


@each_preset
def test_metadata_and_published_numbers(name: str) -> None:
    preset = get_preset(name)
    text = released_model_card(preset)
    metadata = ModelCard(text).data.to_dict()
    assert metadata == yaml.safe_load(text.split("---\n")[1])
    if preset.family == "segvit":
        assert metadata["license"] == "other"
        assert metadata["license_link"].startswith("https://")
        assert metadata["base_model"] == preset.repository
        assert "non-commercial" in text
    elif preset.family == "dinov3":
        assert (metadata["license"], metadata["license_name"]) == ("other", "dinov3-license")
        assert metadata["base_model"] == "facebook/dinov3-vit7b16-pretrain-lvd1689m"
        assert "--encoder facebook/dinov3-vit7b16-pretrain-lvd1689m" in text
        assert f"from [its page]({preset.download_page})" in text
    else:
        assert metadata["license"] == preset.publication.license_name
        assert preset.url is None or (preset.base_url or preset.url) in text
    assert (
        metadata["pipeline_tag"]
        == {
            "segmentation": "image-segmentation",
            "classification": "image-classification",
            "detection": "object-detection",
        }[preset.task]
    )
    assert metadata["datasets"] == [preset.data_set.hub_id]
    assert f"| {' | '.join(map(format_score, preset.published))} |" in text
    assert "not measured again" in text
    assert f"@{preset.publication.entry_type}{{{preset.publication.citation_key}" in text


@pytest.mark.parametrize(
    ("name", "origin", "advice"),
    [
        ("setr-pup-vit-l-ade20k", "that [its authors link](https://drive.google.com/", "download\nthe file by hand"),
        ("setr-pup-deit-b-ade20k", "The weights were not released.", "trained with the authors' configuration"),
        ("setr-mmseg-pup-vit-l-ade20k", "at https://download.openmmlab.com/", "fetched from there"),
    ],
)
def test_a_card_says_where_the_file_is(name: str, origin: str, advice: str) -> None:
    text = released_model_card(get_preset(name))
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
