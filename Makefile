# Everything starts here: `make demo` shows it working, `make test` checks it.

.DEFAULT_GOAL := help
SHELL := /bin/sh
TARGET := $(or $(CARGO_TARGET_DIR),target)
TESTBED := $(TARGET)/debug/testbed

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: tools
tools:
	@hack/check-tools.sh

# All programs in one build, so that the workspace's crates are compiled with one set of features.
.PHONY: programs
programs: tools
	@cargo build --workspace --bins

.PHONY: demo
demo: programs ## Watch an app converge, drift and heal on a local AWS (ONCE=1: clean up and end)
	@$(TESTBED) demo

.PHONY: up
up: programs ## Start control plane, local AWS and operator in the background, for exploring
	@$(TESTBED) up --detach

.PHONY: down
down: ## Stop what `make up` or a demo left running
	@if [ -x $(TESTBED) ]; then $(TESTBED) down; else echo "Nothing was built here, so nothing runs."; fi

.PHONY: test
test: ## Run everything: format, clippy, generated files, unit, property, emulator and end-to-end tests
	@hack/test.sh

.PHONY: generate
generate: programs ## Write the generated files again: CRD, RBAC, IAM policy, manifest reference, and the chart's copies
	@hack/generate.sh .

.PHONY: image
image: tools ## Build the operator's image: make image NAME=registry.example.com/multiregion:0.1.0
	@hack/image.sh "$(NAME)"

.PHONY: bench
bench: tools ## Measure, with a release build, what an app costs in time, AWS calls, processor and memory
	@cargo build --release --workspace --bins
	@$(TARGET)/release/testbed bench
	@echo "== The engine alone, on a simulated AWS"
	@cargo test --release --test engine -- --nocapture many_apps

.PHONY: clean-cache
clean-cache: down ## Remove the built control plane, the local AWS and all their state
	rm -rf "$${MULTIREGION_CACHE:-.cache}"
