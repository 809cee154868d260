# Needs Python >= 3.11 and make, nothing else: both demo and test make their own environment.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: demo test coverage lint clean

demo: $(STAMP)
	$(BIN)/python examples/quickstart.py

test: lint
# One thread per process: the two test processes would get in each other's way with more.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

coverage: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --cov=skreg --cov-report=term-missing:skip-covered

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	touch $(STAMP)

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov
	rm -rf build dist examples/*.png
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
