# make demo: install, then run the main job on the built-in task.   make # Timed tests run whole searches against a budget of time, so they run alone.
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
	PYTHONPATH=. $(PYTHON) benchmarks/gpu/check.py

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install
	$(BIN)/peftcost bench recipes/suite.yaml

clean:
	rm -rf $(VENV) build *.egg-info
