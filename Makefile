# Every target sets up what it needs. From a fresh clone: Rust, Python 3.11 or later, git and a C compiler.
# PYTHON=python3.13 chooses another interpreter; run `make clean` before changing it.

PYTHON ?= python3
CARGO ?= cargo
PIP := -m pip --quiet --disable-pip-version-check
CARGO_DENY := 0.20.2
KINESIS_LOCAL := 0.6.2
CARGO_FUZZ := 0.13.1

export CARGO_TERM_COLOR ?= auto
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)

SOURCES := Cargo.toml Cargo.lock pyproject.toml README.md $(shell find src python -name '*.rs' -o -name '*.py' -o -name '*.pyi')

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: .venv-demo/wheel.stamp  ## Mirror a changing table into DuckDB, kill the loader on the way, compare every row
	@.venv-demo/bin/shardarrow demo

.PHONY: test
test: test-rust test-python  ## Run the Rust and the Python tests

.PHONY: test-rust
test-rust:
	$(CARGO) test --locked --workspace --quiet

.PHONY: test-python
test-python: python-ready
	.venv/bin/python -m pytest

.PHONY: test-long
test-long: python-ready  ## Run the bulk tests at full size and write docs/test-results.md
	SHARDARROW_FULL=1 $(CARGO) test --locked --quiet --test simulation
	SHARDARROW_FULL=1 .venv/bin/python -m pytest -m bulk --record docs/test-results.md

# A failure prints the one line that reproduces it.
SIM = $(CARGO) test --locked --quiet --test simulation -- --nocapture --exact

.PHONY: sim
sim:  ## Tell one seed of the simulation: make sim SEED=7
	SHARDARROW_SEED=$(or $(SEED),$(error SEED is a number)) $(SIM) seeds::every_seed_keeps_every_invariant

.PHONY: sim-long
sim-long: SECONDS ?= 600
sim-long:  ## Run seeds on all cores for so long: make sim-long SECONDS=600 [SEED=first]
	SHARDARROW_SEED=$(or $(SEED),0) SHARDARROW_SECONDS=$(SECONDS) $(SIM) seeds::every_seed_keeps_every_invariant

.PHONY: sim-figures
sim-figures: SEEDS ?= 100000
sim-figures:  ## Run so many seeds on all cores and write docs/reference/simulation.md: make sim-figures SEEDS=100000 [SEED=first]
	SHARDARROW_SEED=$(or $(SEED),0) SHARDARROW_SEEDS=$(SEEDS) \
		SHARDARROW_FIGURES="$$(date -u +%Y-%m-%d), commit $$(git rev-parse --short HEAD)" \
		$(SIM) seeds::every_seed_keeps_every_invariant

.PHONY: seeded-bugs
seeded-bugs:  ## Put every bug on purpose into the library until a test notices; writes docs/reference/seeded-bugs.md
	SHARDARROW_WRITE_BUGS=1 $(SIM) bugs::every_bug_on_purpose_is_noticed

.PHONY: emulators
emulators: .tools/ferrokinesis/stamp .tools/kinesis-local/stamp  ## Install the emulators of Kinesis that some tests use (one needs npm)

.PHONY: conformance
conformance: python-ready emulators  ## Ask the fake AWS and emulators (one needs npm) what they do; writes docs/reference/conformance.md
	.venv/bin/python tests/conformance/table.py docs/reference/conformance.md

# The sanitizer's flags are for nightly compilers; RUSTC_BOOTSTRAP lets the pinned one take them. What is found on
# the way stays in the target directory, what crashes goes to fuzz/artifacts: fix it and keep it in fuzz/corpus.
.PHONY: fuzz
fuzz: SECONDS ?= 60
fuzz: .tools/bin/cargo-fuzz  ## Fuzz one decoder: make fuzz TARGET=change_page SECONDS=60
	@test -f fuzz/fuzz_targets/$(TARGET).rs || { echo "TARGET is one of:" $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs))); exit 2; }
	mkdir -p $(TARGET_DIR)/fuzz-corpus/$(TARGET)
	RUSTC_BOOTSTRAP=1 .tools/bin/cargo-fuzz run --target-dir $(TARGET_DIR)/fuzz $(TARGET) \
		$(TARGET_DIR)/fuzz-corpus/$(TARGET) fuzz/corpus/$(TARGET) -- -max_total_time=$(SECONDS) -timeout=20 -rss_limit_mb=4096

.PHONY: bench
bench: .venv-bench/release.stamp .venv-relay/venv.stamp  ## Measure speed beside others and write docs/benchmarks.md
	$(CARGO) build --release --locked --package benches --package twin --bins
	.venv-bench/bin/python benches/e2e --target $(TARGET_DIR)/release \
		--ours .venv-bench/bin/python --relay .venv-relay/bin/python $(BENCH)

.PHONY: count
count: count-program  ## Count the decoder's instructions beside those written down
	$(PYTHON) benches/count/count.py $(TARGET_DIR)/release/count

.PHONY: count-write
count-write: count-program
	$(PYTHON) benches/count/count.py $(TARGET_DIR)/release/count --write

.PHONY: count-program
count-program:
	$(CARGO) build --release --locked --package count

.PHONY: check
check: check-rust check-python  ## Formatting, lints, types, import order, licences

.PHONY: check-rust
check-rust: .tools/bin/cargo-deny
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --locked --lib --features python -- -D warnings
	.tools/bin/cargo-deny --locked check licenses bans sources

# stubtest compares the stubs of the sources with the module of the installed wheel.
.PHONY: check-python
check-python: .venv/wheel.stamp
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	MYPYPATH=python .venv/bin/python -m mypy.stubtest --mypy-config-file pyproject.toml shardarrow._native
	.venv/bin/python -m pytest --quiet tests/test_architecture.py

.PHONY: format
format: .venv/venv.stamp  ## Format Rust and Python
	$(CARGO) fmt --all
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

.PHONY: clean
clean:  ## Remove virtual environments and wheels (Cargo's target directory stays)
	rm -rf .venv .venv-build .venv-demo .venv-emulator .venv-bench .venv-relay dist dist-release

# What the Python tests need: the wheel, the emulator in an environment of its own (it pins botocore), the fake AWS.
.PHONY: python-ready
python-ready: .venv/wheel.stamp .venv-emulator/venv.stamp
	$(CARGO) build --locked --quiet -p twin --bin twin

.venv/venv.stamp: requirements/test.txt requirements/check.txt
.venv-build/venv.stamp: requirements/build.txt
.venv-demo/venv.stamp: requirements/demo.txt
.venv-emulator/venv.stamp: requirements/emulator.txt
.venv-bench/venv.stamp: requirements/bench.txt
.venv-relay/venv.stamp: requirements/relay.txt

%/venv.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"$(PYTHON) is Python {sys.version.split()[0]}; set PYTHON= to one of 3.11 or later")'
	rm -rf $*
	$(PYTHON) -m venv $*
	$*/bin/python $(PIP) install $(addprefix -r ,$^)
	@touch $@

# The wheel is built with Cargo's dev profile: it shares its dependencies with the tests and half the build time
# of a release, and arithmetic overflow is an error in it.
dist/wheel.stamp: $(SOURCES) .venv-build/venv.stamp
	rm -rf dist
	.venv-build/bin/maturin build --locked --strip --auditwheel skip --interpreter .venv-build/bin/python --out dist
	@touch $@

# The wheel as users get it.
dist-release/wheel.stamp: $(SOURCES) .venv-build/venv.stamp
	rm -rf dist-release
	.venv-build/bin/maturin build --release --locked --strip --auditwheel skip --interpreter .venv-build/bin/python --out dist-release
	@touch $@

.venv-bench/release.stamp: dist-release/wheel.stamp .venv-bench/venv.stamp
	.venv-bench/bin/python $(PIP) install --no-deps --force-reinstall dist-release/*.whl
	@touch $@

%/wheel.stamp: dist/wheel.stamp %/venv.stamp
	$*/bin/python $(PIP) install --no-deps --force-reinstall dist/*.whl
	@touch $@

.tools/bin/cargo-deny: Makefile
	$(CARGO) install --debug --locked --force --root .tools --version $(CARGO_DENY) --target-dir $(TARGET_DIR)/tools cargo-deny
	@touch $@

.tools/ferrokinesis/stamp: tests/conformance/ferrokinesis/Cargo.lock tests/conformance/ferrokinesis/src/main.rs
	$(CARGO) build --locked --quiet --manifest-path tests/conformance/ferrokinesis/Cargo.toml --target-dir .tools/ferrokinesis
	@touch $@

.tools/kinesis-local/stamp: Makefile
	npm install --silent --prefix .tools/kinesis-local kinesis-local@$(KINESIS_LOCAL)
	@touch $@

.tools/bin/cargo-fuzz: Makefile
	$(CARGO) install --debug --locked --force --root .tools --version $(CARGO_FUZZ) --target-dir $(TARGET_DIR)/tools cargo-fuzz
	@touch $@
