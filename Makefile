# The book in two commands: `make site` builds _site/index.html, `make test` runs the tests.
# Each sets itself up first, in .venv, and fetches the networks that the book runs on; once that
# is done, it takes no time.
#
#   make site PYTHON=python3.12       choose the interpreter (3.11, 3.12 or 3.13)
#   make setup TORCH_INDEX=<address>  torch without CUDA, from another package index; remembered

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp

# What cannot be fetched is said in a sentence, and again by whatever needs it.
FETCH = $(BIN)/meznet fetch || true

.PHONY: site test lab setup lint clean lock again

site: $(STAMP)
	@$(FETCH)
	$(BIN)/meznet site

# Two files at a time, in order: the site's tests take the chapters that the first ones ran.
test: $(STAMP)
	@$(FETCH)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lab: $(STAMP)
	@$(FETCH)
	JUPYTER_PREFER_ENV_PATH=1 $(BIN)/jupyter lab chapters

setup: $(STAMP)
	@$(FETCH)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf _site .cache _freeze .quarto .pytest_cache .ruff_cache .hypothesis

# Needs uv. Run it after a change of the dependencies in pyproject.toml.
lock:
	uv pip compile pyproject.toml --extra test --universal --generate-hashes \
	    --no-emit-index-url --no-header --python-version 3.11 -o requirements.lock -q

CHECK := -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null
KEEP := $(BIN)/python $(CHECK)

# Another torch index than last time means a new .venv.
SAVED_INDEX := $(shell cat $(VENV)/.torch-index 2>/dev/null)
TORCH_INDEX ?= $(SAVED_INDEX)
ifneq ($(strip $(TORCH_INDEX)),$(SAVED_INDEX))
KEEP := false
$(STAMP): again
endif

# The lock without torch and the CUDA packages that come with it; and torch's own two pins.
WITHOUT_TORCH = awk '/^[a-z]/ {keep = !/^(torch|torchvision|triton|nvidia-.*|cuda-.*)==/} keep'
TORCH_PINS = sed -nE 's/^((torch|torchvision)==[^ ]+).*/\1/p'

# Without ensurepip (Debian without python3-venv) the machine's own pip fills .venv.
$(STAMP): requirements.lock pyproject.toml
	@$(KEEP) || $(PYTHON) $(CHECK) || { echo "meznet needs Python 3.11, 3.12 or 3.13, and" \
	    "$(PYTHON) is none of them: name one, as in make site PYTHON=python3.12" >&2; exit 1; }
	@rm -f $(STAMP)
	@$(KEEP) || $(PYTHON) -m venv --clear $(VENV) >/dev/null 2>&1 || \
	    $(PYTHON) -m venv --clear --without-pip $(VENV)
	@set -e; \
	pip="$(BIN)/python -m pip"; \
	$$pip --version >/dev/null 2>&1 || pip="$(PYTHON) -m pip --python $(BIN)/python"; \
	if [ -n "$(strip $(TORCH_INDEX))" ]; then \
	    $(WITHOUT_TORCH) requirements.lock >$(VENV)/without-torch.lock; \
	    $$pip install --no-deps -r $(VENV)/without-torch.lock; \
	    $$pip install --no-deps --index-url "$(strip $(TORCH_INDEX))" \
	        $$($(TORCH_PINS) requirements.lock); \
	else \
	    $$pip install -r requirements.lock; \
	fi; \
	$$pip install --no-deps --no-build-isolation -e .; \
	echo "$(strip $(TORCH_INDEX))" >$(VENV)/.torch-index; \
	touch $(STAMP)
