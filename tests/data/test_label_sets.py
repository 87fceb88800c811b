"""The official classes and colors, and class lists from files."""

import hashlib
import json
from pathlib import Path

import pytest

from segvit_hf.data import LabelSet, get_label_set, label_set_names, read_class_list

# name, classes, reduce_zero_label, some `id class red green blue` from the start, the middle and the end
OFFICIAL = [
    ("ade20k", 150, True, "0 wall 120 120 120, 12 person 150 5 61, 149 flag 92 0 255"),
    ("cityscapes", 19, False, "0 road 128 64 128, 11 person 220 20 60, 18 bicycle 119 11 32"),
    ("pascal_context", 60, False, "0 background 120 120 120, 1 aeroplane 180 120 120, 59 wood 31 0 255"),
    ("pascal_context_59", 59, True, "0 aeroplane 180 120 120, 1 bag 6 230 230, 58 wood 31 0 255"),
    ("pascal_context_voc", 60, False, "0 background 120 120 120, 2 bicycle 6 230 230, 20 tvmonitor 0 102 200"),
    ("pascal_voc", 21, False, "0 background 0 0 0, 15 person 192 128 128, 20 tvmonitor 0 64 128"),
    ("coco_stuff_10k", 171, True, "0 person 0 192 64, 9 traffic light 128 192 64, 170 wood 64 64 0"),
    ("coco_stuff_164k", 171, False, "79 toothbrush 192 160 0, 80 banner 0 192 0, 169 window-other 64 160 64"),
]


def test_every_set_is_listed() -> None:
    assert set(label_set_names()) == {name for name, *_ in OFFICIAL}


@pytest.mark.parametrize(("name", "num_labels", "reduce_zero_label", "samples"), OFFICIAL)
def test_official_classes_and_colors(name: str, num_labels: int, reduce_zero_label: bool, samples: str) -> None:
    label_set = get_label_set(name)
    assert (label_set.name, label_set.num_labels) == (name, num_labels)
    assert label_set.reduce_zero_label is reduce_zero_label
    assert len(label_set.palette) == num_labels
    assert len(set(label_set.classes)) == num_labels
    for sample in samples.split(", "):
        id_, *class_name, red, green, blue = sample.split()
        assert label_set.id2label[int(id_)] == " ".join(class_name)
        assert label_set.palette[int(id_)] == (int(red), int(green), int(blue))
        assert label_set.label2id[" ".join(class_name)] == int(id_)


# Of `[[name, red, green, blue], ...]` as JSON; taken from mmsegmentation 0.30.0 (whose "bed " is without the space
# here), that of pascal_context_voc from its colors and from the order of Segmenter's data.
DIGESTS = {
    "ade20k": "08d2d938529b4a69294c599b403a47297c1294d314f5df9a13afd15c357c7fc0",
    "cityscapes": "af71e237b621bfd643a15f201e6295de129040d9e96ca631225106c0fa89f434",
    "pascal_context": "ebfdeb979997c9d2e76e6fbe610380881c8398db4e2970412020afbe2aec0cfb",
    "pascal_context_59": "00ed5e465f55d06bbc9f6116af782685c1857512e316e3e3dc10a41dac39b2a3",
    "pascal_context_voc": "c50a7aa27f180ae7d4c535114f250ca7c66c0f97cc9330f30dd8bc876640beaf",
    "pascal_voc": "0cedbf00d64bbae526c5c01e7ff8e489d34257d18cbe1aa5d281dd5afcf1406d",
    "coco_stuff_10k": "71e41b03a928fc250ddc10e425f0defc92f57eba306430d2b024c6aebd14152c",
    "coco_stuff_164k": "71e41b03a928fc250ddc10e425f0defc92f57eba306430d2b024c6aebd14152c",
}


@pytest.mark.parametrize("name", label_set_names())
def test_whole_tables_are_mmsegmentations(name: str) -> None:
    label_set = get_label_set(name)
    table = [[label, *color] for label, color in zip(label_set.classes, label_set.palette, strict=True)]
    assert hashlib.sha256(json.dumps(table).encode()).hexdigest() == DIGESTS[name]


def test_pascal_context_is_in_the_order_of_the_prepared_maps() -> None:
    classes = get_label_set("pascal_context_59").classes
    assert list(classes) == sorted(classes)
    assert get_label_set("pascal_context").classes[1:] == classes


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'ade'.*ade20k, cityscapes"):
        get_label_set("ade")


def test_a_palette_of_another_length_raises() -> None:
    with pytest.raises(ValueError, match="expected a palette of 2 colors, found 1"):
        LabelSet("mine", ("a", "b"), ((0, 0, 0),))


@pytest.mark.parametrize(
    ("file_name", "content", "classes", "palette"),
    [
        ("mine.txt", "road\n\n# a comment\ntraffic light\nlane 2\n", ("road", "traffic light", "lane 2"), ()),
        ("mine.txt", "\ufeffroad 1 2 3\r\ntraffic light 4 5 255", ("road", "traffic light"), ((1, 2, 3), (4, 5, 255))),
        ("mine.json", '["road", "sky"]', ("road", "sky"), ()),
        ("mine.json", '{"1": "sky", "0": "road"}', ("road", "sky"), ()),
        ("mine.json", '[{"name": "road", "color": [1, 2, 3]}]', ("road",), ((1, 2, 3),)),
    ],
)
def test_class_lists_are_read(tmp_path: Path, file_name: str, content: str, classes: tuple, palette: tuple) -> None:
    path = tmp_path / file_name
    path.write_text(content, encoding="utf-8", newline="")
    label_set = read_class_list(path)
    assert (label_set.name, label_set.classes, label_set.palette) == ("mine", classes, palette)


@pytest.mark.parametrize(
    ("file_name", "content", "message"),
    [
        ("c.txt", "\n# nothing\n", "expected at least one class"),
        ("c.txt", "road\nsky\nroad", "more than once: road"),
        ("c.txt", "road 1 2 3\nsky", "line 2.*every class or to none"),
        ("c.txt", "road 1 2 300", "line 1.*0 to 255"),
        ("c.json", "[1, 2]", "expected a list of names"),
        ("c.json", "{", "expected valid JSON"),
        ("c.json", json.dumps({"0": "road", "2": "sky"}), "1 is missing"),
    ],
)
def test_bad_class_lists_name_the_file(tmp_path: Path, file_name: str, content: str, message: str) -> None:
    path = tmp_path / file_name
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as error:
        read_class_list(path)
    assert str(path) in str(error.value)


def test_a_missing_class_list_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none.txt"):
        read_class_list(tmp_path / "none.txt")
