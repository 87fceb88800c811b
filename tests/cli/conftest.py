"""A small saved model, and commands run as the command line runs them."""

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from segvit_hf import SegmenterConfig, SegmenterForSemanticSegmentation, SegmenterImageProcessor

CLASSES = ("sky", "road", "tree", "house", "person")
WINDOW = 32

AddArguments = Callable[[argparse.ArgumentParser], None]


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Segmenter of five classes with two heads, whose decoder has one head and two layers."""
    torch.manual_seed(0)
    config = SegmenterConfig(
        image_size=WINDOW,
        patch_size=8,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        id2label=dict(enumerate(CLASSES)),
        sliding_window=(WINDOW, WINDOW),
    )
    folder = tmp_path_factory.mktemp("model")
    SegmenterForSemanticSegmentation(config).save_pretrained(folder)
    SegmenterImageProcessor(minimum_input_short_edge=WINDOW).save_pretrained(folder)
    return folder


@pytest.fixture
def run_command() -> Callable[..., int]:
    """Parses words and runs the command whose arguments `add_arguments` adds, as `segvit-hf` does."""

    def run(add_arguments: AddArguments, *words: object) -> int:
        parser = argparse.ArgumentParser(prog="segvit-hf")
        parser.add_argument("--traceback", action="store_true")
        add_arguments(parser)
        arguments = parser.parse_args([str(word) for word in words])
        return arguments.run(arguments)

    return run
