# Needs Python >= 3.11 and make, nothing else: both demo and test make their own environment.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
DOCS_STAMP := .venv/.installed-docs
BENCH_STAMP := .venv/.installed-bench

.PHONY: demo test coverage lint docs bench cuda clean

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

# Everything beside its peers, written to docs/benchmarks.md; a quarter of an hour on two quiet cores.
bench: $(BENCH_STAMP)
	$(BIN)/python benchmarks/fit.py --save
	$(BIN)/python benchmarks/grid.py --quick --save
	$(BIN)/python benchmarks/profile_steps.py --save
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
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[bench]"
	touch $(BENCH_STAMP)

# Warnings are errors; --keep-going shows all of them.
docs: $(DOCS_STAMP)
	$(BIN)/python -m sphinx -W --keep-going -b html -d docs/_build/doctrees docs docs/_build/html
	$(BIN)/python docs/check_links.py docs/_build/html

$(DOCS_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	touch $(DOCS_STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	touch $(STAMP)

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov
	rm -rf build dist examples/*.png docs/_build docs/auto_examples docs/api/generated
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
