# `make demo` and `make test` each set everything up: a virtual environment in .venv and the package with its
# development extras. PYTHON chooses the interpreter of the environment, WORKERS the number of test processes.
# `make test-lowest` has an environment of its own, with the lowest versions that pyproject.toml declares, Python's
# included where the machine has it (on the PATH or in pyenv).

PYTHON ?= python3
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

LOWEST_PYTHON ?= $(shell PYENV_VERSION=3.10 python3.10 -c "import sys; print(sys.executable)" 2>/dev/null || echo "$(PYTHON)")
LOWEST_VENV := .venv-lowest
LOWEST_STAMP := $(LOWEST_VENV)/.installed

# One thread a process: the processes share the cores.
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help install demo test test-lowest mutants lint types format clean

help:
	@echo "make demo         fine-tune a small SegViT on generated scenes, evaluate it, segment pictures (no GPU, no network)"
	@echo "make test         all tests, transformers' own common tests included"
	@echo "make test-lowest  the tests again, with the lowest versions that pyproject.toml declares"
	@echo "make mutants      plant one-line bugs in a copy and count those that the tests notice; MUTANTS=models for a part"
	@echo "make lint         ruff"
	@echo "make types        mypy"
	@echo "make format       let ruff rewrite the files"
	@echo "make install      only the set-up that the others do first"
	@echo "make clean        remove the environments, caches and outputs"

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

$(LOWEST_STAMP): pyproject.toml .ci/lowest_versions.py $(STAMP)
	test -x $(LOWEST_VENV)/bin/python || "$(LOWEST_PYTHON)" -m venv $(LOWEST_VENV)
	$(BIN)/python .ci/lowest_versions.py > $(LOWEST_VENV)/constraints.txt
	$(LOWEST_VENV)/bin/python -m pip install --quiet --constraint $(LOWEST_VENV)/constraints.txt --editable ".[dev]"
	touch $(LOWEST_STAMP)

# Without transformers' own suites, which differ from release to release.
test-lowest: $(LOWEST_STAMP)
	$(LOWEST_VENV)/bin/python -m pytest --numprocesses $(WORKERS) --dist worksteal --ignore tests/transformers_suite \
		$(PYTEST_ARGUMENTS)

# On demand: about 15 minutes.
mutants: $(STAMP)
	$(BIN)/python -m tests.mutants $(MUTANTS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(LOWEST_VENV) .cache .mypy_cache .pytest_cache .ruff_cache build dist outputs src/*.egg-info *.egg-info
	find src conversion training tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
