# make              builds the programs into public/, internal/ and cron/
# make demo         a whole homeserver with sign-up on this machine, to look at; Ctrl-C ends it
# make demo-check   the same, used by a script from the form to the login
# make test         all tests; installs what they need
# make screenshots  takes the pictures in docs/screenshots anew; pngquant, if it is there, makes them small

# Where each program belongs; src/bin/ has one file for each.
PROGRAMS = public/register public/verify public/verify_admin cron/cron \
	internal/login internal/directory_search internal/identity_single internal/identity_bulk internal/profile internal/intercept_change_password

CARGO_TARGET_DIR ?= target
WORLD = tests/world

all:
	cargo build --release $(addprefix --bin ,$(notdir $(PROGRAMS)))
	@for program in $(PROGRAMS); do $(call place,$$program) || exit; done

# By rename: a program that runs at this moment is not disturbed, and nobody sees half of one.
place = mkdir -p $$(dirname $(1)) && \
	cp $(CARGO_TARGET_DIR)/release/$$(basename $(1)) $(1).new && mv -f $(1).new $(1)

demo: all
	$(WORLD)/install demo
	cargo run --release --example demo -- $(PROGRAMS)

demo-check: all
	$(WORLD)/install demo
	cargo run --release --example demo -- --check $(PROGRAMS)

# All tests share one homeserver.
test:
	$(WORLD)/install test
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	$(WORLD)/start-synapse run -- cargo test
	synapse/tests/run

PICTURES = docs/screenshots
screenshots:
	$(WORLD)/install test
	$(WORLD)/start-synapse run -- cargo test --test browser -- --ignored screenshots
	! command -v pngquant || pngquant --force --ext .png --speed 1 --strip $(PICTURES)/*.png

clean:
	cargo clean
	rm -f $(PROGRAMS)

.PHONY: all demo demo-check test screenshots clean
