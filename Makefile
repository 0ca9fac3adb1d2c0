# make demo   build, start a local mail server, send from C and from Python, show what arrived
# make test   everything that must hold: format, lints, docs, Rust, C and Python tests, real servers
# make bench  what a message costs, counted
# make compare  the same beside other clients, with the bench harness (benches/compare/run.py)
# make soak   ten minutes of many clients, memory and descriptors watched (SOAK_SECONDS=N for other lengths)
# make tsan   the programs of tests/c under ThreadSanitizer; part of make test where the tools are there

CARGO  ?= cargo
PYTHON ?= python3
CC     ?= cc
VENV   := target/venv
LIB    := target/release

# Run once more with calls that do not wait.
ON_SOCKETS := content delivery hostile_wire networks observe proxies starttls tls trust

.PHONY: all demo test bench tsan compare soak generated clean

all:
	$(CARGO) build --release --locked

demo: all $(VENV)/.ready
	$(VENV)/bin/python tests/support/demo.py --cc "$(CC)" --library "$(LIB)"

test: $(VENV)/.ready
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items --quiet
	$(CARGO) test --locked
	SMTP_TEST_NONBLOCKING=1 $(CARGO) test --locked $(addprefix --test ,$(ON_SOCKETS))
	$(CARGO) build --release --locked
	$(VENV)/bin/mypy --strict bindings/python/smtpclient
	$(VENV)/bin/pytest -q -rs tests/suite

bench:
	$(CARGO) bench --locked --bench counts

compare: all
	$(PYTHON) benches/compare/run.py
	$(PYTHON) benches/compare/table.py
	$(PYTHON) benches/compare/plot.py

soak: all $(VENV)/.ready
	SOAK_SECONDS=$${SOAK_SECONDS:-600} $(VENV)/bin/pytest -q -s tests/suite/test_soak.py

tsan: $(VENV)/.ready
	$(VENV)/bin/pytest -q -rs tests/suite/test_tsan.py

# Files made from the library's tables; see tests/generated.rs.
generated:
	UPDATE_GENERATED=1 $(CARGO) test --locked --test generated

$(VENV)/.ready: tests/support/setup.sh tests/support/requirements.txt
	PYTHON="$(PYTHON)" tests/support/setup.sh $(VENV)

clean:
	$(CARGO) clean
