# Everything a newcomer types. Each target makes the environment it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
OLDEST := .venv-oldest
SENTENCEPIECE := $(shell sed -n 's/.*"sentencepiece>=\([0-9.]*\).*/\1/p' pyproject.toml)

.PHONY: help demo test soak oldest check wheel gpu clean
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
	$(BIN)/pytest -n auto --dist loadfile

soak: $(READY) ## kill and stop runs at 20 random moments, 200 steps in Triton's interpreter
	MOMENTS=20 $(BIN)/pytest tests/kobert_kit/test_killed_pretraining.py \
	  tests/kobert_kit/test_resume_anywhere.py tests/kobert_kit/test_interpreted_pretraining.py

# No torch in it, so that it is quick to make. The SWIG types of SentencePiece 0.2.1 warn when they are
# made, and if the warning is an error they are not, and the process crashes.
oldest: $(OLDEST)/.ready ## the vocabulary tests with the oldest sentencepiece supported
	$(OLDEST)/bin/pytest -n auto --dist loadfile tests/vocab -m 'not slow and not corpora' -W 'ignore:builtin type:DeprecationWarning'

$(OLDEST)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(OLDEST)
	grep -v '^sentencepiece==' constraints.txt > $(OLDEST)/constraints.txt
	$(OLDEST)/bin/pip install --quiet --disable-pip-version-check --no-compile -e '.[vocab-test]' \
	  sentencepiece==$(SENTENCEPIECE) -c $(OLDEST)/constraints.txt
	@touch $@

check: $(READY) ## lint, format, types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

wheel: $(READY) ## build the wheel, install it in a clean environment, run a short demo from another folder
	rm -rf build/wheel && mkdir -p build/wheel/elsewhere
	$(BIN)/python -m build --wheel --outdir build/wheel
	$(PYTHON) -m venv build/wheel/venv
	build/wheel/venv/bin/pip install --quiet --disable-pip-version-check -c constraints.txt \
	  "$$(echo build/wheel/*.whl)[train]"
	cd build/wheel/elsewhere && ../venv/bin/kobert demo --out demo --steps 100

gpu: ## all that needs a GPU, in under 10 minutes: parity, sanitizers, tuning, benchmarks, a BERT step
	PYTHONPATH=.:kernels:vocab $(PYTHON) benchmarks/gpu.py

clean: ## remove the environment, caches and the demo's output
	rm -rf $(VENV) $(OLDEST) demo build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
