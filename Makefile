# Two commands: `make demo` to see it run, `make test` for everything that must pass. `make help` lists the rest.

CARGO ?= cargo
TARGET := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
ORACLES := $(TARGET)/oracles
export CARGO_TARGET_DIR := $(TARGET)

.PHONY: help demo test format lint unit docs alerts deny oracles bench fuzz release clean

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Run on a sample bucket, with a Prometheus beside it. Ctrl-C ends both.
	@sh deploy/demo/run.sh

test: oracles format lint unit docs alerts deny ## Everything that must pass.
	@sh tests/oracles/summary.sh $(ORACLES)

format:
	$(CARGO) fmt --all -- --check

lint:
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

unit:
	@rm -f $(ORACLES)/skipped
	ORACLES=$(abspath $(ORACLES)) $(CARGO) test --workspace --locked

docs:
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps --locked --document-private-items

alerts: oracles
	@sh tests/oracles/alerts.sh $(ORACLES)

deny: oracles
	@sh tests/oracles/deny.sh $(ORACLES)

oracles: ## Install the outside tools that tests compare with.
	@sh tests/oracles/install.sh $(ORACLES)

bench: ## Measure; prints tables (about 7 minutes once built).
	$(CARGO) build --release --locked --package fakes
	$(CARGO) bench --locked --bench inventory --bench listing --bench export --bench podmetrics --bench usage --bench usage_table

fuzz: ## Feed the readers of foreign bytes random ones, a minute each (nightly Rust, cargo-fuzz).
	cd fuzz && for target in list_page answer exposition quantity payload; do \
		mkdir -p corpus/$$target && \
		$(CARGO) +nightly fuzz run $$target corpus/$$target seeds/$$target -- -max_total_time=$(or $(SECONDS_TO_FUZZ),60) || exit 1; \
	done

release: ## The binary that is shipped, in target/release.
	BUILD_REVISION=$$(git rev-parse --short HEAD 2> /dev/null || echo unknown) $(CARGO) build --release --locked
	@ls -l $(TARGET)/release/kube-s3-exporter

clean:
	$(CARGO) clean
