# Needs Python >= 3.11 and make, nothing else: every target makes the environment it needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DOCS_STAMP := $(VENV)/.installed-docs
BENCH_STAMP := $(VENV)/.installed-bench
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
# One thread per process: the two test processes would get in each other's way with more.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

.PHONY: demo test test-python test-oldest oldest coverage lint docs dist bench cuda clean

demo: $(STAMP)
	$(BIN)/python examples/quickstart.py

test: lint
	$(PYTEST)

# The tests under another Python, in a separate environment: make test-python PYTHON=python3.13
test-python:
	$(MAKE) test VENV=.venv-$(notdir $(PYTHON))

# The tests with the oldest versions that pyproject.toml declares, in a separate environment.
# OLDEST puts other versions in their place: make test-oldest OLDEST=torch==2.13.0
OLDEST ?=
test-oldest:
	$(MAKE) oldest VENV=.venv-oldest

oldest: $(VENV)/.installed-oldest
	$(PYTEST)

$(VENV)/.installed-oldest: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python .ci/minimums.py $(OLDEST) > $(VENV)/minimums.txt
	$(BIN)/python $(PIP_INSTALL) -c $(VENV)/minimums.txt -e ".[test]"
	touch $@

coverage: $(STAMP)
	$(PYTEST) --cov=skreg --cov-report=term-missing:skip-covered

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell

# Wheel and sdist in dist/, with what has to be in them; the wheel is installed in a fresh
# environment, and the README's first example runs from it.
dist: $(STAMP)
	rm -rf dist
	$(BIN)/python -m build --quiet
	$(BIN)/python .ci/check_dist.py

# Everything next to its peers, written to docs/benchmarks.md; a quarter of an hour on two quiet cores.
bench: $(BENCH_STAMP)
	$(BIN)/python benchmarks/fit.py --save
	$(BIN)/python benchmarks/grid.py --quick --save
	$(BIN)/python benchmarks/profile_steps.py --save
	$(BIN)/python benchmarks/layers.py --save
	$(BIN)/python benchmarks/predict.py --quick --save
	$(BIN)/python benchmarks/scale.py --save
	$(BIN)/python benchmarks/paths.py --quick --save

# On a machine with an NVIDIA GPU, in under eight minutes; `make cuda CUDA_FLAGS=--cpu` shows without
# one that it runs. It makes no environment and fetches nothing: $(PYTHON) has to have the packages,
# by pip install torch numpy scikit-learn skorch hypothesis pytest.
CUDA_RESULTS ?= benchmarks/results
cuda:
	$(PYTHON) benchmarks/cuda.py $(CUDA_RESULTS) $(CUDA_FLAGS)

$(BENCH_STAMP): $(STAMP)
	$(BIN)/python $(PIP_INSTALL) -c constraints.txt -e ".[bench]"
	touch $(BENCH_STAMP)

# Warnings are errors; --keep-going shows all of them.
docs: $(DOCS_STAMP)
	$(BIN)/python -m sphinx -W --keep-going -b html -d docs/_build/doctrees docs docs/_build/html
	$(BIN)/python docs/check_links.py docs/_build/html

$(DOCS_STAMP): $(STAMP)
	$(BIN)/python $(PIP_INSTALL) -c constraints.txt -e ".[docs]"
	touch $(DOCS_STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP_INSTALL) -c constraints.txt -e ".[test]"
	touch $(STAMP)

clean:
	rm -rf .venv .venv-* .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov
	rm -rf build dist examples/*.png docs/_build docs/auto_examples docs/api/generated
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
