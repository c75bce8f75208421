# Every target installs what it needs first; `make` alone lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup venv build wheel image lock docs demo test-quick test test-all test-container lint format bench soak fuzz clean

PY := .venv/bin/python
# Four workers keep two cores busy: half of a test's time is waiting, for servers, disks and ticks of the daemon. Each starts servers of its
# own: a gigabyte of memory a worker.
WORKERS ?= 4
# The decoders' share hardly waits, and a fifth of it is what each worker imports, collects and starts.
TWIN_WORKERS ?= 2
# Tests start the daemon hundreds of times. Where the environment forbids bytecode files, each start compiles 300 modules again.
export PYTHONDONTWRITEBYTECODE :=
# With a compiler the compiled decoders must be there: a build that fell back in silence fails the tests.
NATIVE := $(if $(shell command -v cc gcc),c,python)
# What `make test` runs a second time on the pure-Python decoders: all that touches bytes of the source. Not tests/property: what
# compares the two decoders needs both, and the rest uses neither.
TWIN_TESTS := $(wildcard tests/unit/native tests/unit/postgres tests/unit/mysql tests/golden/binlog tests/golden/pgoutput tests/integration/postgres/types/test_database_without_encoding.py tests/integration/*/types/test_server_is_the_oracle.py tests/smoke)
# What `make test-quick` runs: no MySQL, and Postgres for one copy and its changes only.
QUICK_TESTS := $(filter-out %/test_source_contracts.py,$(wildcard tests/architecture tests/unit tests/golden tests/contract/test_*.py tests/smoke/test_pipeline_smoke.py))
PYTEST := $(PY) -m pytest -n $(WORKERS) --dist loadgroup
FUZZ_SECONDS ?= 60
CONTAINER_TESTS ?= tests/container
MINUTES ?= 30
RATE ?= 5000
# `make demo SOURCE=mysql` (or mariadb) unpacks a server for it unless CDC_DEMO_SERVER names one.
SOURCE ?= postgres
# `make demo SINK=postgres` mirrors into a second embedded Postgres instead of a DuckDB file, SINK=clickhouse into an embedded ClickHouse, SINK=iceberg into Iceberg tables; SINK=parquet-s3 puts the lake into a bucket.
SINK ?= duckdb
UNPACKED_mysql := mysql9
UNPACKED_mariadb := mariadb10

##@ Use
demo: venv ## Follow an embedded Postgres (SOURCE=mysql, mariadb) into DuckDB (SINK=postgres, clickhouse, iceberg) and Parquet (SINK=parquet-s3), kill it once, prove that all is equal
	@if [ -n "$(UNPACKED_$(SOURCE))" ] && [ -z "$${CDC_DEMO_SERVER:-}" ]; then \
		scripts/mysql-servers.sh $(UNPACKED_$(SOURCE)); \
		starter=.servers/$(UNPACKED_$(SOURCE))/server; \
		if [ -x "$$starter" ]; then export CDC_DEMO_SERVER="$$starter"; fi; \
	fi; \
	.venv/bin/cdc demo --source $(SOURCE) --sink $(SINK)

##@ Develop
setup: venv ## Make .venv and install the servers that the tests need
	@scripts/bootstrap.sh servers

venv: ## Make .venv with this project and its tools
	@scripts/bootstrap.sh venv

build: venv ## Compile the decoders in place
	$(PY) setup.py -q build_ext --inplace

wheel: venv ## Wheels of every supported Python in dist/ where Docker answers, else one for this Python
	@if docker info >/dev/null 2>&1; then \
		$(PY) -m cibuildwheel --platform linux --output-dir dist; \
	else \
		echo "wheel: no Docker engine answers: building for this Python and machine only (two to three minutes)" >&2; \
		$(PY) -m pip wheel -q --no-build-isolation --no-deps --wheel-dir dist .; \
	fi
	@ls dist/*.whl

image: ## The container image cdcd:VERSION, where a Docker engine answers (docs/deploying.md)
	version=$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml); \
	docker build --build-arg "VERSION=$$version" --build-arg "REVISION=$$(git rev-parse HEAD)" --tag "cdcd:$$version" .

lock: venv ## Write the newest versions that fit, with their hashes, to the locks that the image is built from
	.venv/bin/uv pip compile -q --universal --python-version 3.11 --upgrade --generate-hashes --no-annotate \
		--custom-compile-command 'make lock' --extra all --output-file requirements.lock pyproject.toml
	printf '%s\n' 'setuptools>=80' 'Cython>=3.3' | .venv/bin/uv pip compile -q --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-annotate --custom-compile-command 'make lock' --output-file requirements-build.lock -

docs: venv ## The docs site in build/site; a link that leads nowhere or a page outside the navigation fails
	$(PY) scripts/docs_site.py

lint: venv ## Style, formatting, types, import contracts
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

format: venv ## Mend what ruff can mend by itself
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

test-quick: venv build ## Units, contracts and one pipeline: under two minutes, for the inner loop
	CDC_NATIVE=$(NATIVE) $(PYTEST) $(QUICK_TESTS)

test: setup build ## The whole suite on the compiled decoders, then the decoders' share on the Python ones
	CDC_NATIVE=$(NATIVE) $(PYTEST)
	CDC_NATIVE=python $(PYTEST) -n $(TWIN_WORKERS) $(TWIN_TESTS)

test-all: setup build ## Everything: slow tests too, both decoders, PostgreSQL 13 to 18, MariaDB 11
	scripts/more-servers.sh 13 14 16 17
	CDC_TEST_FRESH=1 CDC_TEST_POSTGRES=all CDC_TEST_MYSQL=all CDC_NATIVE=$(NATIVE) $(PYTEST) -m '' --timeout 900
	CDC_TEST_FRESH=1 CDC_TEST_POSTGRES=all CDC_TEST_MYSQL=all CDC_NATIVE=python $(PYTEST) -m '' --timeout 1800

test-container: setup ## The image, compose and the systemd unit, in containers; starts an engine where it can (minutes)
	@scripts/container-engine.sh start
	$(PY) -m pytest -m '' $(CONTAINER_TESTS)

bench: setup build ## Measure against the peers, side by side; results are printed
	@failed=; for file in $(filter-out benchmarks/soak.py benchmarks/harness.py,$(wildcard benchmarks/[a-z]*.py)); do \
		name=$$(basename "$$file" .py); printf '\n== %s\n' "$$name"; \
		$(PY) -m "benchmarks.$$name" || failed="$$failed $$name"; done; \
	if [ -n "$$failed" ]; then echo "failed:$$failed" >&2; exit 1; fi

soak: setup build ## A daemon under load for MINUTES=30 at RATE=5000 transactions a second: flat memory, nothing lost
	$(PY) -m benchmarks.soak $(MINUTES) $(RATE)

fuzz: setup ## Feed the decoders mutated input under AddressSanitizer (FUZZ_SECONDS=60)
	fuzz/run.sh $(FUZZ_SECONDS)

clean: ## Remove everything that was built or cached
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find cdc connectors \( -name '*.so' -o -name '*.c' \) -delete

help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
