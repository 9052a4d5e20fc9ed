# make               builds the programs into public/, internal/ and cron/
# make demo          a whole homeserver with sign-up on this machine, to look at; Ctrl-C ends it
# make demo-check    the same, used by a script from the form to the login
# make test          all tests; installs what they need
# make screenshots   takes the pictures in docs/screenshots anew; pngquant, if it is there, makes them small
# make fuzz          every parser for FUZZ_SECONDS (60) each; FUZZ_TARGETS names some of them:
#                    make fuzz FUZZ_SECONDS=3600 FUZZ_TARGETS=json_bodies
# make bench-lookups the figures of bench/lookups.md: lookups among a million accounts

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

# All tests share one homeserver, one PostgreSQL and one MariaDB.
test:
	$(WORLD)/install test
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	$(WORLD)/start-databases run -- $(WORLD)/start-synapse run -- cargo test
	synapse/tests/run

FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= $(notdir $(basename $(wildcard fuzz/fuzz_targets/*.rs)))
FUZZ_TOOLS = fuzz/target/tools
# libFuzzer wants options of a nightly compiler; the stable one has them where it is told to. No address sanitizer: the
# library forbids unsafe code, and what is looked for is panics. A time-out is for one input, in seconds.
FUZZ = cd fuzz && TMPDIR=$(CURDIR)/fuzz/target/tmp RUSTC_BOOTSTRAP=1 target/tools/bin/cargo-fuzz

# What is found is kept in fuzz/artifacts, and the command that repeats it is printed. The inputs that were grown stay in
# fuzz/target/grown for the next time; fuzz/corpus has the ones to start from.
fuzz: $(FUZZ_TOOLS)/bin/cargo-fuzz
	@for target in $(FUZZ_TARGETS); do \
		mkdir -p fuzz/target/tmp fuzz/target/grown/$$target && \
		($(FUZZ) run --sanitizer none $$target target/grown/$$target corpus/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -timeout=20 -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1) || exit; \
		rm -rf fuzz/target/tmp; \
	done

$(FUZZ_TOOLS)/bin/cargo-fuzz:
	cargo install --locked cargo-fuzz --version 0.13.2 --root $(FUZZ_TOOLS)

bench-lookups:
	CARGO_PROFILE_TEST_OPT_LEVEL=2 cargo test --lib figures_of_the_lookups -- --ignored --nocapture

PICTURES = docs/screenshots
screenshots:
	$(WORLD)/install test
	$(WORLD)/start-synapse run -- cargo test --test browser -- --ignored screenshots
	! command -v pngquant || pngquant --force --ext .png --speed 1 --strip $(PICTURES)/*.png

clean:
	cargo clean
	rm -rf fuzz/target
	rm -f $(PROGRAMS)

.PHONY: all demo demo-check test screenshots fuzz bench-lookups clean
