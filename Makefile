# Everything a newcomer needs: make demo, make test. `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lint format gallery schemas bench clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(STAMP) ## The whole flow on simulated hands, from raw files to a report (under 5 minutes)
	$(BIN)/handsynth demo

lint: $(STAMP) ## Style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: lint ## Lint, types and the test suite (under 8 minutes on 2 cores)
	$(BIN)/pytest -n auto -m "not slow"

test-slow: $(STAMP) ## The long tests
	$(BIN)/pytest -n auto -m slow

format: $(STAMP) ## Bring the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

gallery: $(STAMP) ## The picture of simulated hands in docs/
	$(BIN)/handsynth simulate --count 64 --size 224 --set subjects=64 --seed 3 --workspace .gallery
	$(BIN)/handsynth view --gallery --count 64 --out docs/gallery.jpg --workspace .gallery
	rm -rf .gallery

schemas: $(STAMP) ## Write the JSON Schemas and docs/datasets.md anew from types and manifests
	$(BIN)/python -m tests.test_schemas
	$(BIN)/python -m tests.test_datasets_page

bench: $(STAMP) ## Ratios against peers, in one run on this machine
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,bench]'
	for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

clean: ## Remove what the demo and the tools made, not the environment
	rm -rf demo .mypy_cache .ruff_cache .hypothesis build *.egg-info
