# Everything a newcomer types. Each target makes the environment it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help demo test check wheel gpu clean
.DEFAULT_GOAL := help

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1 \t/p' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt
	@touch $@

demo: $(READY) ## raw text to filled masks on the bundled sample (under 5 minutes on 2 cores)
	$(BIN)/kobert demo --out demo

test: $(READY) ## all tests (under 10 minutes on 2 cores)
	$(BIN)/pytest

check: $(READY) ## lint, format, types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

wheel: $(READY) ## build the wheel, install it in a clean environment, run the demo from another folder
	rm -rf build/wheel && mkdir -p build/wheel/elsewhere
	$(BIN)/python -m build --wheel --outdir build/wheel
	$(PYTHON) -m venv build/wheel/venv
	build/wheel/venv/bin/pip install --quiet --disable-pip-version-check -c constraints.txt \
	  "$$(echo build/wheel/*.whl)[train]"
	cd build/wheel/elsewhere && ../venv/bin/kobert demo --out demo

gpu: ## all that needs a GPU, in under 10 minutes: parity, sanitizers, tuning, benchmarks, a BERT step
	PYTHONPATH=.:kernels:vocab $(PYTHON) benchmarks/gpu.py

clean: ## remove the environment, caches and the demo's output
	rm -rf $(VENV) demo build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
