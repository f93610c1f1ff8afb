# Every target sets itself up: a virtual environment in .venv, made once and remade when pyproject.toml changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# A CPU build of torch unless another is asked for (make TORCH=torch test): the default one is gigabytes of CUDA.
TORCH ?= torch==2.13.0

.PHONY: help demo test lint types bench fmt clean
help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(STAMP): pyproject.toml requirements/dev.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip
	$(BIN)/python -m pip install -q "$(TORCH)" || $(BIN)/python -m pip install -q "torch>=2.6"
	$(BIN)/python -m pip install -q -e . -r requirements/dev.txt
	touch $@

demo: $(STAMP)  ## ingest the example handbook and answer three questions with citations
	$(BIN)/python examples/demo.py

test: $(STAMP)  ## run the tests, two files at a time
	$(BIN)/python -m pytest -n 2 --dist loadfile

# Static tools cannot follow the folders' mapping, so they look at a copy as it would be installed.
build/tree: $(STAMP) FORCE
	@rm -rf $@ && mkdir -p $@
	@$(BIN)/python -m pip install -q --no-deps --no-compile --target $@ .
FORCE:

lint: build/tree  ## ruff and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python bench/readme.py --check
	cd build/tree && PYTHONPATH=. ../../$(BIN)/lint-imports --config ../../pyproject.toml --no-cache

types: build/tree  ## mypy --strict over the package
	cd build/tree && MYPYPATH=. ../../$(BIN)/mypy --config-file ../../pyproject.toml -p ragloom

bench: $(STAMP)  ## measure beside LlamaIndex; writes docs/results/ (hours on 2 cores, resumable)
	$(BIN)/python -m pip install -q -r requirements/bench.txt
	$(BIN)/python bench/run.py

fmt: $(STAMP)  ## format and fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove the environment and what was built
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .hypothesis
