# make demo   JupyterLab on the quickstart
# make test   everything that is checked before a change is accepted
# make dev    JupyterLab with live reload of js/
# The environment (.venv) and the front end (lrwidget/static) are made when they are missing or old.

SHELL := /bin/sh
VENV ?= .venv
BIN := $(VENV)/bin
NODE_MODULES := js/node_modules/.package-lock.json
BUNDLE := lrwidget/static/widget.js
JS_SOURCES := $(filter-out js/node_modules/%,$(wildcard js/*.* js/src/* js/src/*/*))
JUPYTER_LAB = $(BIN)/jupyter lab $$([ "$$(id -u)" = 0 ] && echo --allow-root)
# A text browser in the terminal would hide JupyterLab's own log, and with it the URL.
BROWSER_OR_URL = $$([ "$$(uname)" = Linux ] && [ -z "$$DISPLAY$$WAYLAND_DISPLAY" ] && echo --no-browser)

.PHONY: demo test dev lint check-js pytest bench-suggest format clean

demo: $(VENV)/.examples
	@echo "JupyterLab opens examples/quickstart.ipynb; where no browser opens, use the URL it prints below."
	$(JUPYTER_LAB) $(BROWSER_OR_URL) examples/quickstart.ipynb

test: lint check-js pytest

dev: $(VENV)/.test
	@cd js && npm run watch & watcher=$$!; trap 'kill $$watcher' EXIT INT TERM; \
	ANYWIDGET_HMR=1 $(JUPYTER_LAB) $(BROWSER_OR_URL) examples/quickstart.ipynb

lint: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check-js: $(NODE_MODULES)
	cd js && npm run check && npm run lint && npm test

pytest: $(VENV)/.test $(BUNDLE)
	CHROMIUM=$$(VENV=$(VENV) scripts/chromium.sh) && export CHROMIUM && $(BIN)/python -m pytest $(PYTEST_ARGS)

bench-suggest: $(VENV)/.test
	$(BIN)/python -m benchmarks.suggest

format: $(VENV)/.test $(NODE_MODULES)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	cd js && npm run format

clean:
	rm -rf $(VENV) .make js/node_modules lrwidget/static dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

# One environment; `test` includes `examples`. The stamp is written last, so that an installation
# that was cut off is made again.
$(VENV)/.%: pyproject.toml scripts/uv.sh | $(BUNDLE)
	uv=$$(scripts/uv.sh) && \
	{ $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || "$$uv" venv --clear --python '>=3.11' $(VENV); } && \
	"$$uv" pip install --python $(BIN)/python --editable '.[$*]'
	@touch $@

$(NODE_MODULES): js/package.json js/package-lock.json
	cd js && npm ci --no-audit --no-fund
	@touch $@

$(BUNDLE): $(NODE_MODULES) $(JS_SOURCES)
	cd js && npm run build
