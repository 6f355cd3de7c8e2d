# `make demo` and `make test` set everything up by themselves, in .venv.
# They need Python 3.11 or newer, make, a C++ compiler, and a package index that pip can reach.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
STAMP := .venv/installed

# Threads that wait without spinning: two libraries' threads on one core otherwise take turns at burning it.
export OMP_WAIT_POLICY ?= passive
export OPENBLAS_NUM_THREADS ?= 1

# Tests run in this many processes, of one thread each: two share two cores better than one torch with two threads does.
JOBS ?= $(shell n=$$(nproc); echo $$((n < 8 ? n : 8)))

.PHONY: demo test docs axe mutants check sanitize fuzz format install release build-tools clean

demo: $(STAMP)  ## the main job on handwritten digits; leaves demo-out/
	$(BIN)/python -m demo

test: export OMP_NUM_THREADS ?= 1
test: $(STAMP)  ## every test; make test ARGS="-k demo" for some, JOBS=0 for one process
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

docs: $(STAMP)  ## the documents and the API reference as a site, in build/docs; a warning is an error
	$(BIN)/python -m mkdocs build --strict --quiet

axe:  ## axe-core in build/axe, for the tests of accessibility; needs npm
	npm install --no-save --silent --prefix build/axe axe-core@4.14.1

mutants: $(STAMP)  ## whether the tests see faults: a sample of mutants, each against its own tests; ARGS="--count 20 --seed 1"
	$(PIP) install --quiet -c constraints.txt cosmic-ray
	$(BIN)/python -m scripts.mutants $(ARGS)

check: $(STAMP)  ## all that CI runs but the demo and the sanitizers
	scripts/check

sanitize: $(STAMP)  ## the tests of the engine with the address, undefined and thread sanitizers
	scripts/sanitize

SECONDS ?= 60
fuzz: build-tools  ## fuzzes the engine with both sanitizers, for SECONDS in all, as long for each target; needs clang and its libFuzzer
	scripts/fuzz $(SECONDS) $(ARGS)

release: $(STAMP)  ## wheel and source in dist, built twice and compared, checked by twine, with their bill of materials
	$(PIP) install --quiet -c constraints.txt -e '.[release]'
	scripts/reproducible
	scripts/sbom

format: $(STAMP)  ## formats Python and C++
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $$(git ls-files 'csrc/*.cc' 'csrc/*.h' 'csrc/*.inc')

install: $(STAMP)

build-tools:  ## in .venv what compiles and formats C++, which is enough for scripts/check-csrc and scripts/sanitize --build
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
ifdef LOCKED
	mkdir -p build
	awk '/^[^ ]/ { kept = /^(clang-format|cmake|nanobind)==/ } kept' requirements-dev.lock >build/tools.lock
	$(PIP) install --quiet --no-deps --require-hashes -r build/tools.lock
else
	$(PIP) install --quiet -c constraints.txt clang-format cmake nanobind
endif

# torch goes first, at the version of constraints.txt, so that nothing below pulls in another build.
# The extension is built with the package, so its sources count as well. LOCKED=1: everything but PyTorch by its hash (scripts/lock).
$(STAMP): pyproject.toml constraints.txt CMakeLists.txt $(shell find csrc -name '*.cc' -o -name '*.h' -o -name '*.inc')
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "bitwright needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
ifdef LOCKED
	$(PIP) install --quiet --no-deps --require-hashes -r requirements-dev.lock
	$(PIP) install --quiet -c constraints.txt torch torchvision
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
else
	$(PIP) install --quiet -c constraints.txt torch torchvision
	$(PIP) install --quiet -c constraints.txt -e '.[torch,torchvision,timm,onnx,digits,report,peers,serve,signing,dev,docs]'
endif
	$(BIN)/python scripts/notice_torchvision.py
	touch $@

clean:
	rm -rf .venv demo-out build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find src demo tests -name __pycache__ -prune -exec rm -rf {} +
