# Every target sets up what it needs first; a second set-up takes a fraction of a second.

# The Python that makes .venv; afterwards everything runs on .venv's own.
PYTHON ?= python3
# More extras to install: scale, wandb, langchain, peers, or all.
EXTRAS ?=
# `make demo` keeps what is finished until its code changes; FRESH=true runs all anew.
FRESH ?=
# Tests run side by side, each on one thread; a test process takes up to 2 GB of memory.
WORKERS ?= 2
# Folder with the measuring sets of docs/data.md; without it, benchmarks that need one are left out.
DATA ?=
BIN := .venv/bin
BENCHMARKS := $(filter-out shared,$(patsubst %/benchmark.py,%,$(wildcard */benchmark.py)))

.DEFAULT_GOAL := help
.PHONY: help setup ready demo test test-slow test-browser screenshots lint app bench bench-full readme exercise clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

setup: ## Make .venv with the pinned packages; EXTRAS=all adds the optional heavy ones
	@$(PYTHON) tools/setup_venv.py $(EXTRAS)

ready:
	@$(PYTHON) tools/setup_venv.py --quiet $(EXTRAS)

demo: ready ## Run every project's quickstart and write outputs/demo/report.html; what is finished is kept
	$(BIN)/python demo.py $(if $(FRESH),--fresh $(FRESH))

test: ready ## Run the tests (without the slow ones)
	$(BIN)/python -m pytest --durations=10 -n $(WORKERS) --dist worksteal

test-slow: ready ## Run the slow tests
	$(BIN)/python -m pytest --durations=10 -m slow

test-browser: ready ## Drive every demo page in headless Chromium (Debian: chromium, chromium-driver)
	$(BIN)/python -m pytest --durations=10 -m browser -s

screenshots: ready ## Take the READMEs' pictures of the pages anew (wants fonts-noto-cjk too)
	$(BIN)/python -m tools.screenshots

lint: ready ## Check style, types, imports, spelling, README tables and links
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/python -m tools.readme_tables --check

app: ready ## Open the Streamlit demos in the browser
	$(BIN)/streamlit run app.py

bench: ready ## Run the benchmarks within 90 minutes, the long ones on a sample, and save the others' results/*.json
	@for project in $(BENCHMARKS); do $(BIN)/python -m $$project.benchmark all --save true $(if $(DATA),--data $(DATA)) || exit $$?; done

bench-full: ready ## Run every benchmark whole, trainings too (many hours, can be resumed)
	@for project in $(BENCHMARKS); do $(BIN)/python -m $$project.benchmark all --save true --full true $(if $(DATA),--data $(DATA)) || exit $$?; done

readme: ready ## Fill the READMEs' tables and file maps from results/*.json and the tree
	$(BIN)/python -m tools.readme_tables

exercise: ready ## Check your exercise: make exercise P=transformer_from_scratch N=2
	@$(BIN)/python -m tools.exercise $(P) $(N)

clean: ## Remove caches and builds; runs/, outputs/ and .venv stay
	rm -rf build dist .pytest_cache .ruff_cache .import_linter_cache *.egg-info
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
