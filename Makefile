# Everything a contributor types. Each target installs what it needs into .venv, once.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
PROJECT := pyproject.toml constraints.txt
OF_PROOF := .venv-spark .venv-models .venv-deep .venv-objects .venv-airflow .venv-schedulers .venv-lake .venv-deploy .image-base .node \
	.prometheus

export DBT_PROFILES_DIR := $(CURDIR)/profiles
export DBT_SEND_ANONYMOUS_USAGE_STATS := false

.PHONY: demo example quick test coverage proof mutants bench lint format clean

demo: .venv/.demo ## Build the example on DuckDB, push it to an embedded Redis, read a vector, write a training set
	@$(BIN)/python scripts/demo.py

example: .venv/.demo .venv-models/.made ## Build and push the example, train a model of it, log it to MLflow, and predict
	@$(BIN)/dbt --quiet build
	@$(BIN)/feature-sync push
	@PYTHONPATH=$(CURDIR) .venv-models/bin/python examples/departure_delay/train.py
	@PYTHONPATH=$(CURDIR) .venv-models/bin/python examples/departure_delay/predict.py

quick: .venv/.test ## Run the tests that start no process, within a minute; of generated cases a fifth
	@HYPOTHESIS_TIMES=0.2 $(BIN)/python -m pytest -m "quick and not slow" --numprocesses 2 --dist loadfile

test: .venv/.test .venv-bigquery/.made .venv-engines/.made ## Run all tests, against real servers that the tests start and stop
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

coverage: .venv/.test .venv-bigquery/.made .venv-engines/.made ## Run all tests, a quarter slower, and list the lines that none runs
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --cov --cov-report=term

proof: .venv/.test .venv-bigquery/.made .venv-engines/.made $(OF_PROOF:=/.made) ## Run the tests that repeat for long: PROOF_TIMES=1000 for longer, PROOF_SEED=7 to repeat a run
	@$(BIN)/python -m pytest -m slow -rfEsP --numprocesses 2 --dist loadfile

mutants: .venv/.test .venv-bigquery/.made .venv-engines/.made .venv-mutants/.made ## Change the product and see whether tests notice: MUTANTS=200 or all, MUTANTS_SEED=7
	@.venv-mutants/bin/python scripts/mutants.py

bench: .venv/.test $(if $(QUICK),,.venv-feast/.made) ## Time the point-in-time join, the push and serving against SQL by hand, bare sockets and Feast, for hours: QUICK=1 for some minutes
	@$(BIN)/python -m bench $(if $(QUICK),--quick)

lint: .venv/.test ## Check style, types, floors, SQL and dbt's YAML
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python scripts/write_reference.py --check
	@$(BIN)/dbt --quiet --warn-error parse --no-partial-parse --target bigquery --target-path target/lint
	@$(BIN)/dbt --quiet compile --target duckdb --target-path target/lint
	@find target/lint/compiled/feature_sync/models -name '*.sql' -not -path '*.yml/*' -not -name departure_training_set.sql -print0 \
		| xargs -0 $(BIN)/sqlfluff lint --disable-progress-bar

format: .venv/.test ## Put everything into the house's style
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format
	@$(BIN)/python scripts/write_reference.py

clean: ## Remove whatever the targets above made; stops the embedded Redis
	@if [ -x $(BIN)/feature-sync ]; then $(BIN)/feature-sync redis stop; fi
	@rm -rf .venv .venv-bigquery .venv-engines $(OF_PROOF) .venv-feast .venv-mutants .mutants target logs .feature_sync *.duckdb .coverage*

.venv/.made:
	@echo "Making a virtual environment in .venv"
	@$(PYTHON) -c 'import sys; sys.exit("feature-sync needs Python 3.11 or newer") if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m venv .venv
	@$(PIP) pip
	@touch $@

.venv/.demo: .venv/.made $(PROJECT)
	@echo "Installing feature-sync and dbt with DuckDB (about a minute)"
	@$(PIP) --editable '.[duckdb]' --group dbt
	@touch $@

.venv/.test: .venv/.made $(PROJECT)
	@echo "Installing what the tests need (a minute or two)"
	@$(PIP) --editable '.[duckdb,postgres,bigquery,spark,pandas,server,openlineage]' --group test --group lint
	@touch $@ .venv/.demo

.venv-bigquery/.made: tests/bigquery.txt
	@echo "Installing a BigQuery emulator into an environment of its own (half a minute)"
	@$(PYTHON) -m venv .venv-bigquery
	@.venv-bigquery/bin/python -m pip --disable-pip-version-check install --quiet --requirement tests/bigquery.txt
	@touch $@

.venv-engines/.made: tests/engines.txt
	@echo "Installing ClickHouse, Sail and a Snowflake emulator into an environment of their own (a minute, 1.2 GB)"
	@$(PYTHON) -m venv .venv-engines
	@.venv-engines/bin/python -m pip --disable-pip-version-check install --quiet --requirement tests/engines.txt
	@touch $@

.venv-spark/.made: tests/spark.txt
	@echo "Installing Spark into an environment of its own (a minute, 0.5 GB); it runs on Java 17 or newer"
	@$(PYTHON) -m venv .venv-spark
	@.venv-spark/bin/python -m pip --disable-pip-version-check install --quiet --requirement tests/spark.txt
	@touch $@

.venv-models/.made: tests/models.txt
	@echo "Installing scikit-learn, LightGBM, XGBoost, MLflow, FastAPI and polars into an environment of their own (two minutes, 1 GB)"
	@$(PYTHON) -m venv .venv-models
	@.venv-models/bin/python -m pip --disable-pip-version-check install --quiet --requirement tests/models.txt
	@.venv-models/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --editable .
	@touch $@

.venv-deep/.made: tests/deep.txt
	@echo "Installing PyTorch and TensorFlow into an environment of their own (a minute or two, 2.8 GB)"
	@$(PYTHON) -m venv .venv-deep
	@.venv-deep/bin/python -m pip --disable-pip-version-check install --quiet --requirement tests/deep.txt
	@touch $@

.venv-objects/.made: tests/objects.txt
	@echo "Installing servers of S3 and Google Cloud Storage into an environment of their own (half a minute, 0.3 GB)"
	@$(PYTHON) -m venv .venv-objects
	@.venv-objects/bin/python -m pip --disable-pip-version-check install --quiet --requirement tests/objects.txt
	@touch $@

.venv-airflow/.made: tests/airflow.txt
	@echo "Installing Airflow into an environment of its own (a minute, 0.3 GB)"
	@$(PYTHON) -m venv .venv-airflow
	@.venv-airflow/bin/python -m pip --disable-pip-version-check install --quiet --requirement tests/airflow.txt
	@touch $@

.venv-schedulers/.made: tests/schedulers.txt
	@echo "Installing Dagster and Prefect into an environment of their own (a minute, 0.6 GB)"
	@$(PYTHON) -m venv .venv-schedulers
	@.venv-schedulers/bin/python -m pip --disable-pip-version-check install --quiet --requirement tests/schedulers.txt
	@.venv-schedulers/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --editable .
	@touch $@

.venv-lake/.made: tests/lake.txt $(PROJECT)
	@echo "Installing dbt with the libraries of Hudi, Iceberg and Delta into an environment of their own (half a minute, 0.8 GB)"
	@$(PYTHON) -m venv .venv-lake
	@.venv-lake/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt --requirement tests/lake.txt --editable '.[duckdb]'
	@touch $@

.venv-deploy/.made: tests/deploy.txt
	@echo "Installing the linters of deploy/ into an environment of their own (a minute, 0.6 GB)"
	@$(PYTHON) -m venv .venv-deploy
	@.venv-deploy/bin/python -m pip --disable-pip-version-check install --quiet --requirement tests/deploy.txt
	@touch $@

.image-base/.made: scripts/make_base_image.sh
	@echo "Making a base image of Debian for the images of deploy/docker (half a minute, 0.2 GB), with buildah and mmdebstrap"
	@scripts/make_base_image.sh .image-base
	@touch $@

.node/.made: examples/node/package.json
	@echo "Installing what the reader in JavaScript needs (seconds)"
	@command -v npm >/dev/null || { echo "npm is missing: install Node 20 or newer" >&2; exit 1; }
	@mkdir -p .node
	@cp examples/node/package.json .node/
	@npm install --prefix .node --no-package-lock --no-audit --no-fund --loglevel error >/dev/null
	@touch $@

.prometheus/.made:
	@echo "Fetching Prometheus and promtool (seconds, 95 MB)"
	@command -v apt-get >/dev/null || { echo "apt-get is missing: Prometheus comes as a package of Debian or Ubuntu" >&2; exit 1; }
	@mkdir -p .prometheus
	@cd .prometheus && for attempt in 1 2; do \
		apt-get download --quiet=2 --option APT::Sandbox::User=root prometheus && break; apt-get update --quiet=2; done
	@cd .prometheus && dpkg -x prometheus_*.deb . && rm prometheus_*.deb
	@touch $@

.venv-mutants/.made: $(PROJECT)
	@echo "Installing a mutation tester into an environment of its own (half a minute)"
	@$(PYTHON) -m venv .venv-mutants
	@.venv-mutants/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt pip
	@.venv-mutants/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt --group mutants
	@touch $@

.venv-feast/.made: bench/feast.txt
	@echo "Installing Feast into an environment of its own (a minute)"
	@$(PYTHON) -m venv .venv-feast
	@.venv-feast/bin/python -m pip --disable-pip-version-check install --quiet --requirement bench/feast.txt
	@touch $@
