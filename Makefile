# Everything a developer does, by name. `make` alone tells them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# What setup.py compiles, and what it reads for that. A machine without a C compiler gets the same engine, slower.
PACKAGES := schemas operators flows
SOURCES := setup.py $(shell find $(PACKAGES) -name '*.py' -o -name '*.pxd')
COMPILED := $(VENV)/.compiled
SUITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))
LOCK := env -u PIP_FIND_LINKS CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/python -m piptools compile \
	--quiet --upgrade --generate-hashes --allow-unsafe --strip-extras \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links
# The environment must not add to what the lock files say.
PIP := env -u PIP_FIND_LINKS PYTHONWARNINGS=ignore $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help
help: ## Show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: install
install: $(COMPILED) ## Make .venv with exactly the locked packages, and the project in it

$(STAMP): requirements.lock pyproject.toml
	@if [ ! -x $(BIN)/python ]; then \
	  python=""; \
	  for name in python3.12 python3.11 python3; do \
	    if "$$name" -c '$(SUITS)' 2>/dev/null; then python="$$name"; break; fi; \
	  done; \
	  if [ -z "$$python" ]; then \
	    echo "error: Python 3.11 or 3.12 is needed (Bytewax has no wheels for others); found neither python3.12 nor python3.11, and python3 is $$(python3 -V 2>/dev/null || echo missing)." >&2; exit 1; fi; \
	  echo "Making $(VENV) with $$("$$python" -V) ..."; \
	  "$$python" -m venv $(VENV) || { rm -rf $(VENV); \
	    echo "error: $$python cannot make a virtual environment (Debian and Ubuntu: install its -venv package)." >&2; exit 1; }; \
	elif ! $(BIN)/python -c '$(SUITS)' 2>/dev/null; then \
	  echo "error: $(VENV) does not hold a working Python 3.11 or 3.12; remove that folder and try again." >&2; exit 1; \
	fi
	@echo "Installing the locked packages (the first time about half a minute) ..."
	@$(PIP) install --require-hashes --no-deps -r requirements.lock
	@ATP_PURE=1 $(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(COMPILED): $(STAMP) $(SOURCES)
	@echo "Compiling the hot path (half a minute; without a C compiler the engine stays plain Python) ..."
	@# All of it: Cython does not see that what a module takes from native.pxd has changed.
	@rm -rf build/cython
	@find $(PACKAGES) -name '*.so' -delete
	@mkdir -p build
	@$(BIN)/python setup.py --quiet build_ext --inplace --parallel 2 > build/compile.log 2>&1 || \
	  { tail -n 20 build/compile.log >&2; echo "error: compiling failed; build/compile.log has it all. ATP_PURE=1 leaves it out." >&2; exit 1; }
	@touch $@

.PHONY: demo
demo: $(COMPILED) ## Run the engine on a real Kafka and Valkey, with a story to watch
	@$(BIN)/atp demo $(ARGS)

.PHONY: demo-cluster
demo-cluster: $(COMPILED) ## The same day with one engine on three machines, of which one is lost
	@$(BIN)/atp demo --machines 3 $(ARGS)

.PHONY: check
check: $(COMPILED) ## Lint, types, import directions
	$(BIN)/ruff check .
	$(BIN)/mypy --strict schemas operators flows
	$(BIN)/lint-imports

# Most tests wait for servers: two at a time take little more than half as long. A file's tests stay together, for they
# share what takes long to start.
SIDE_BY_SIDE := -n 2 --dist loadfile

.PHONY: test
test: check ## All checks and all tests but the long ones
	@# Apart from the tests, so that a slow network is not taken for a test that hangs.
	@$(BIN)/python -m flows.embedded --fetch
	@$(BIN)/python -m tests.capture
	$(BIN)/python -m pytest -p tests.uncompiled $(SIDE_BY_SIDE) tests/unit tests/property $(ARGS)
	$(BIN)/pytest $(SIDE_BY_SIDE) $(ARGS)
	@echo "Left out: the tests marked \"long\" (minutes each; make test-long) and the benchmarks (make bench)."
	@$(BIN)/python -m tests.needs

.PHONY: test-long
test-long: $(COMPILED) ## Only the long tests
	@$(BIN)/python -m flows.embedded --fetch
	@$(BIN)/python -m tests.capture
	$(BIN)/pytest -m long --timeout 1800 $(ARGS)

.PHONY: mutants
mutants: $(COMPILED) ## Change the rules a thousand times; which changes does no test notice?
	@# In an environment of its own, which sees the project's: the tool is needed for nothing else.
	@test -x .cache/mutants/bin/mutmut || { \
	  where='import sysconfig; print(sysconfig.get_path("purelib"))'; \
	  $(BIN)/python -m venv .cache/mutants && \
	  $(BIN)/python -c "$$where" > "$$(.cache/mutants/bin/python -c "$$where")/project.pth" && \
	  env -u PIP_FIND_LINKS .cache/mutants/bin/python -m pip --disable-pip-version-check --quiet install mutmut==3.8.1; }
	@rm -rf mutants
	.cache/mutants/bin/mutmut run $(ARGS)
	.cache/mutants/bin/mutmut results

.PHONY: simulate
simulate: $(COMPILED) ## Thousands of simulated schedules of sink, fence and hold-back (ARGS="SCHEDULES FIRST_SEED")
	@$(BIN)/python -m tests.simulation $(ARGS)

.PHONY: chaos
chaos: $(STAMP) ## Break a real engine and its servers under load, again and again (ARGS="--loops N --seed N")
	@$(BIN)/python -m flows.embedded --fetch
	@$(BIN)/python -m tests.chaos $(ARGS)

# What only the benchmarks need, locked apart with the same versions of everything else.
BENCH_STAMP := $(VENV)/.installed-bench

$(BENCH_STAMP): $(COMPILED) requirements-bench.lock
	@echo "Installing what the benchmarks need ..."
	@$(PIP) install --require-hashes --no-deps -r requirements-bench.lock
	@touch $@

.PHONY: bench
bench: $(BENCH_STAMP) ## Drain, latency and one peer: under 10 minutes (ARGS="--quick": two)
	@$(BIN)/python -m flows.embedded --fetch
	$(BIN)/python -m benchmarks $(ARGS)

.PHONY: bench-full
bench-full: $(BENCH_STAMP) ## Every scenario and every peer: hours
	@$(BIN)/python -m flows.embedded --fetch
	$(BIN)/python -m benchmarks --all $(ARGS)

.PHONY: image-check
image-check: $(COMPILED) ## The steps of the image's build, where no container engine is at hand
	$(BIN)/python -m tests.image

.PHONY: lock
lock: $(STAMP) ## Write the lock files anew, with today's newest versions
	$(LOCK) \
	  --extra embedded --extra dev --output-file requirements.lock pyproject.toml
	$(LOCK) \
	  --extra bench --constraint requirements.lock --output-file requirements-bench.lock pyproject.toml
	$(LOCK) \
	  --build-deps-for wheel --constraint requirements.lock --output-file requirements-run.lock pyproject.toml

.PHONY: clean
clean: ## Remove caches, builds and what the demo left; .venv stays
	rm -rf build dist mutants *.egg-info $(COMPILED) .cache .state .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find $(PACKAGES) -name '*.so' -delete
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
