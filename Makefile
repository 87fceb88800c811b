# `make demo` and `make test` each set everything up: a virtual environment in .venv and the package with its
# development extras. PYTHON chooses the interpreter of the environment, WORKERS the number of test processes.

PYTHON ?= python3
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# One thread a process: the processes share the cores.
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help install demo test lint types format clean

help:
	@echo "make demo     fine-tune a small SegViT on generated scenes, evaluate it, segment pictures (no GPU, no network)"
	@echo "make test     all tests, transformers' own common tests included"
	@echo "make lint     ruff"
	@echo "make types    mypy"
	@echo "make format   let ruff rewrite the files"
	@echo "make install  only the set-up that the others do first"
	@echo "make clean    remove the environment, caches and outputs"

install: $(STAMP)

$(STAMP): pyproject.toml
	test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $(STAMP)

demo: export OMP_NUM_THREADS := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
demo: $(STAMP)
	$(BIN)/python -m segvit_hf.training.demo

test: $(STAMP)
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal $(PYTEST_ARGUMENTS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .cache .mypy_cache .pytest_cache .ruff_cache build dist outputs src/*.egg-info *.egg-info
	find src conversion training tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
