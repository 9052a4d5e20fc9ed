# make               builds the programs into public/, internal/ and cron/; REGISTER_BOT_PIE=1 make: position-independent (build.rs)
# make install       installs the built programs below DESTDIR and PREFIX (/usr/local); run make first
# make deb           a Debian package, target/packages/*.deb
# make demo          a whole homeserver with sign-up on this machine, to try out; Ctrl-C ends it
# make demo-check    the same, and a script goes from the form to the login
# make test          all tests; installs everything they need. What they print is kept in target/tests
# make test-one NAME=part_of_a_name
#                    the tests with this in their names, and the servers that they need; tests/run --list names all tests
# TOKEN_WORLD=/path/to/json make token-check
#                    whole registrations at a homeserver with a registration token: docs/homeservers.md
# make package-test  the package in a clean Debian: install, sign up, upgrade, remove, purge; as root
# make container     the package with nginx and cron as an image for containers: docs/container.md
# make container-test
#                    the image in a container without rights: form, sign-up, restart, end; as root
# make newcomer-test the commands of README.md, word for word, on a clean Debian with systemd; as root
# make screenshots   retakes the pictures in docs/screenshots; compresses them if pngquant is installed;
#                    those of the room with MATRIX_CLIENT=FOLDER, a built Cinny: tests/browser/room_pictures.rs
# make fuzz          every parser for FUZZ_SECONDS (60) each; FUZZ_TARGETS names some of them:
#                    make fuzz FUZZ_SECONDS=3600 FUZZ_TARGETS=json_bodies
# make fuzz-rounds   all targets in turn, 600 s each, until stopped; adds to target/fuzz/rounds.tsv
# make load          2,000 registrations and 20,000 logins at once, and thousands of slow visitors; figures in docs/load.md
# make attack        sqlmap and wapiti against a running site, ATTACK_SECONDS (240) for each module and page of wapiti;
#                    figures in docs/security.md
# make nodes         several machines: 600 people, three nodes, Galera and PostgreSQL, while servers are killed
# make faults        nothing lost, nothing twice: FAULTS_KILLS (10000) kills while people sign up, with FAULTS_DATABASE (sqlite,
#                    postgres, mariadb) and failing servers; FAULTS_PEOPLE (96) at a time; FAULTS_SEED repeats the random choices
#                    FAULTS_MODE=mas: with accounts in a stand-in for matrix-authentication-service;
#                    FAULTS_MODE=registration_token: with a token, at a Synapse that requires one
# make mas-check     MAS_WORLD=/path/to/world.json make mas-check: whole registrations against a real matrix-authentication-service
# make planted       checks that `make faults` finds bugs: plants them one at a time in a copy of the sources
# make bench         how fast everything is, compared with minimal CGI and FastCGI programs: docs/performance.md; bench/README.md lists
#                    its variables, for example make bench BENCH_USERS=1000,100000 BENCH_DATABASES=sqlite
# make bench-requests cron, the command and metrics with very many requests: bench/requests.md
# make bench-lookups the figures of bench/lookups.md: lookups in a million accounts

# Folder and name of each program, from the list in src/bin/main.rs. All of them are hard links to one executable.
PROGRAMS := $(shell sed -n 's|^    ."\([a-z_/-]*\)", .*|\1|p' src/bin/main.rs)

CARGO_TARGET_DIR ?= target
WORLD = tests/world

all:
	cargo build
	@packaging/place $(CARGO_TARGET_DIR)/debug/matrix-register-bot . $(PROGRAMS)

PREFIX ?= /usr/local
LIBRARY = $(PREFIX)/lib/matrix-register-bot
SHARE = $(PREFIX)/share/matrix-register-bot
DOCUMENTS = $(PREFIX)/share/doc/matrix-register-bot
MAN = $(PREFIX)/share/man
UNITS = $(PREFIX)/lib/systemd/system
SETTINGS = /etc/matrix-register-bot
# The operator's command, of which the manual and the completions are made.
COMMAND = bin/matrix-register-bot
COMPLETIONS_BASH = $(PREFIX)/share/bash-completion/completions
COMPLETIONS_ZSH = $(PREFIX)/share/zsh/vendor-completions
COMPLETIONS_FISH = $(PREFIX)/share/fish/vendor_completions.d
with_places = sed -e 's|@LIBRARY@|$(LIBRARY)|g' -e 's|@DOCUMENTS@|$(DOCUMENTS)|g'
# In the installed documents, links lead to the installed templates and Synapse module; links to files that are not installed are removed.
with_near_links = sed -E -e 's@\]\((\.\./)?(synapse/README\.md|templates|cron/crontab\.sample)\)@](\1../../matrix-register-bot/\2)@g' \
	-e 's@\[([^]]*)\]\((\.\./)?(src|tests|bench|packaging)(/[^)]*)?\)@\1@g'
# Writes $(1) from the code blocks of page $(2) below heading $(3); existing files in /etc are kept.
lines = [ -e $(DESTDIR)$(SETTINGS)/$(1).conf ] || \
	{ mkdir -p $(DESTDIR)$(SETTINGS)/$(dir $(1)) && packaging/lines $(2) $(3) > $(DESTDIR)$(SETTINGS)/$(1).conf; }

# The executable that make has built.
BUILT ?= $(firstword $(PROGRAMS))
install:
	@[ -e $(BUILT) ] || { echo "there is no $(BUILT); run make first" >&2; exit 1; }
	@packaging/place $(BUILT) $(DESTDIR)$(LIBRARY) $(PROGRAMS)
	install -d $(DESTDIR)$(SHARE) $(DESTDIR)$(DOCUMENTS)/docs/hosts $(DESTDIR)$(DOCUMENTS)/docs/screenshots $(DESTDIR)$(MAN)/man5 $(DESTDIR)$(MAN)/man8 $(DESTDIR)$(UNITS) $(DESTDIR)/etc/cron.d
	sed 's|^# state_folder = .*|state_folder = "/var/lib/matrix-register-bot"|' config.sample.toml > $(DESTDIR)$(SHARE)/config.toml
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(MAN)/man1 $(DESTDIR)$(COMPLETIONS_BASH) $(DESTDIR)$(COMPLETIONS_ZSH) $(DESTDIR)$(COMPLETIONS_FISH)
	ln -sf ../lib/matrix-register-bot/$(COMMAND) $(DESTDIR)$(PREFIX)/bin/matrix-register-bot
	$(DESTDIR)$(LIBRARY)/$(COMMAND) manual $(DESTDIR)$(MAN)/man1
	$(DESTDIR)$(LIBRARY)/$(COMMAND) completions bash > $(DESTDIR)$(COMPLETIONS_BASH)/matrix-register-bot
	$(DESTDIR)$(LIBRARY)/$(COMMAND) completions zsh > $(DESTDIR)$(COMPLETIONS_ZSH)/_matrix-register-bot
	$(DESTDIR)$(LIBRARY)/$(COMMAND) completions fish > $(DESTDIR)$(COMPLETIONS_FISH)/matrix-register-bot.fish
	umask 022; for document in *.md docs/*.md docs/hosts/*.md; do \
		$(with_near_links) $$document > $(DESTDIR)$(DOCUMENTS)/$$document || exit; done
	install -m 644 config.sample.toml LICENSE-MIT LICENSE-APACHE $(DESTDIR)$(DOCUMENTS)
	install -m 644 docs/*.svg $(DESTDIR)$(DOCUMENTS)/docs
	install -m 644 docs/screenshots/*.png $(DESTDIR)$(DOCUMENTS)/docs/screenshots
	for file in cron/crontab.sample synapse/*.* synapse/matrix_register_bot_synapse/*.py* $$(find templates -type f); do \
		install -D -m 644 $$file $(DESTDIR)$(SHARE)/$$file || exit; done
	for unit in packaging/systemd/*; do $(with_places) $$unit > $(DESTDIR)$(UNITS)/$$(basename $$unit) || exit; done
	$(with_places) packaging/man/matrix-register-bot.8 > $(DESTDIR)$(MAN)/man8/matrix-register-bot.8
	$(with_places) packaging/man/matrix-register-bot-cron.8 > $(DESTDIR)$(MAN)/man8/matrix-register-bot-cron.8
	sed -e 's/[\\]/\\e/g' -e 's/-/\\-/g' -e "s/^[.']/\\\\\&&/" config.sample.toml | $(with_places) -e '/@SAMPLE@/{r /dev/stdin' -e 'd}' \
		packaging/man/matrix-register-bot.toml.5 > $(DESTDIR)$(MAN)/man5/matrix-register-bot.toml.5
	[ -e $(DESTDIR)/etc/cron.d/matrix-register-bot ] || $(with_places) packaging/crontab > $(DESTDIR)/etc/cron.d/matrix-register-bot
	$(call lines,nginx/connections,nginx-systemd,"Connections to the programs")
	$(call lines,nginx/pages,nginx-systemd,"The pages")
	$(call lines,nginx/subfolder,nginx-systemd,"The pages in a subfolder")
	$(call lines,nginx/internal,nginx-systemd,"What Synapse and identity servers ask")
	$(call lines,nginx/homeserver,nginx-systemd,"Password changes")
	$(call lines,apache/pages,apache-proxy-fcgi,"The pages")
	$(call lines,apache/subfolder,apache-proxy-fcgi,"The pages in a subfolder")
	$(call lines,apache/internal,apache-proxy-fcgi,"What Synapse and identity servers ask")
	$(call lines,apache/homeserver,apache-proxy-fcgi,"Password changes")

PACKAGE_ROOT = $(CURDIR)/target/package
DEBS ?= target/packages
DEB_REVISION ?= 1
# packaging/debian has the texts and scripts of the package.
deb: all
	@command -v dpkg-shlibdeps >/dev/null || { echo "dpkg-shlibdeps is missing; please install dpkg-dev" >&2; exit 1; }
	rm -rf $(PACKAGE_ROOT)
	umask 022; $(MAKE) install DESTDIR=$(PACKAGE_ROOT) PREFIX=/usr
	packaging/deb $(PACKAGE_ROOT) $(DEB_REVISION) $(DEBS)

demo:
	examples/demo/run $(PROGRAMS)

demo-check:
	examples/demo/run --check $(PROGRAMS)

# Compiles while packages are installed.
test:
	$(WORLD)/install build
	@$(WORLD)/install test & installing=$$!; \
		{ cargo fmt --check && tests/imports/check && cargo clippy --all-targets -- -D warnings && cargo test --no-run; }; \
		status=$$?; wait $$installing && exit $$status
	tests/run
	synapse/tests/run

test-one:
	@[ -n "$(NAME)" ] || { echo "make test-one NAME=part_of_a_name; tests/run --list names all tests" >&2; exit 1; }
	tests/run $(NAME)

# For tests that measure: our own code is optimised as well.
OPTIMISED = cargo --config profile.test.package.matrix-register-bot.opt-level=2

# The test says what the file should contain.
token-check:
	cargo test --test token -- --ignored --nocapture a_whole_registration

FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= $(notdir $(basename $(wildcard fuzz/fuzz_targets/*.rs)))
FUZZ_TOOLS = fuzz/target/tools
# libFuzzer needs options of a nightly compiler; RUSTC_BOOTSTRAP enables them in the stable one. No address sanitizer, because the
# library forbids unsafe code. Findings are panics, inputs that take 30 s, and memory: 512 MiB at once or 1 GiB in total.
FUZZ_LIMITS = -timeout=30 -malloc_limit_mb=512 -rss_limit_mb=1024 -max_len=16384
FUZZ = cd fuzz && TMPDIR=$(CURDIR)/fuzz/target/tmp RUSTC_BOOTSTRAP=1 target/tools/bin/cargo-fuzz

# Findings are kept in fuzz/artifacts, and the command that repeats them is printed. New inputs stay in fuzz/target/grown for
# the next run; fuzz/corpus contains the initial ones.
fuzz: $(FUZZ_TOOLS)/bin/cargo-fuzz
	@for target in $(FUZZ_TARGETS); do \
		mkdir -p fuzz/target/tmp fuzz/target/grown/$$target && \
		($(FUZZ) run --sanitizer none $$target target/grown/$$target corpus/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) $(FUZZ_LIMITS) -verbosity=0 -print_final_stats=1) || exit; \
		rm -rf fuzz/target/tmp; \
	done

# The same without end, one target after the other; docs/fuzzing.md has the results.
fuzz-rounds: $(FUZZ_TOOLS)/bin/cargo-fuzz
	mkdir -p fuzz/target/tmp && $(FUZZ) build --sanitizer none
	fuzz/rounds

$(FUZZ_TOOLS)/bin/cargo-fuzz:
	cargo install --locked cargo-fuzz --version 0.13.2 --root $(FUZZ_TOOLS)

# The database servers are started if they are asked for.
BENCH_DATABASES ?= sqlite,postgres,mariadb
comma = ,
BENCH_SERVERS = $(if $(filter-out sqlite,$(subst $(comma), ,$(BENCH_DATABASES))),$(WORLD)/start-databases run --)
bench: all
	$(WORLD)/install bench
	BENCH_DATABASES=$(BENCH_DATABASES) BENCH_USERS=$(BENCH_USERS) $(if $(BENCH_SECONDS),BENCH_SECONDS=$(BENCH_SECONDS)) \
		$(BENCH_SERVERS) bench/run
	BENCH_DATABASES=$(BENCH_DATABASES) $(BENCH_SERVERS) bench/requests
	bench/report

bench-requests: all
	$(WORLD)/install bench
	BENCH_DATABASES=$(BENCH_DATABASES) $(BENCH_SERVERS) bench/requests

bench-lookups:
	$(OPTIMISED) test --lib figures_of_the_lookups -- --ignored --nocapture

# Two packages: the first with a file for each program, as older versions have, and the second as an upgrade. What lintian may
# find is explained in packaging/debian/lintian-overrides.
package-test:
	$(WORLD)/install test
	$(WORLD)/install package
	LINKS=no $(MAKE) deb DEBS=target/packages/first
	$(MAKE) deb DEB_REVISION=2 DEBS=target/packages/upgrade
	lintian --allow-root --fail-on error,warning target/packages/upgrade/matrix-register-bot_*-2_*.deb
	$(WORLD)/start-synapse run -- cargo test --test package in_a_clean_debian -- --ignored --nocapture

# The image for containers, from the package; CONTAINER_BUILD can also be "docker build".
container: deb
	packaging/container/build $(DEBS)

container-test:
	$(WORLD)/install test
	$(WORLD)/install container
	$(MAKE) deb
	$(WORLD)/start-synapse run -- cargo test --test package the_container -- --ignored --nocapture

newcomer-test:
	$(WORLD)/install test
	$(WORLD)/install container
	$(MAKE) deb
	cargo test --test package a_newcomer -- --ignored --nocapture

load:
	$(WORLD)/install test
	$(OPTIMISED) test --test load -- --ignored --nocapture --test-threads=1

ATTACK_SECONDS ?= 240
attack:
	$(WORLD)/install attack
	ATTACK_SECONDS=$(ATTACK_SECONDS) $(WORLD)/start-synapse run -- \
		$(OPTIMISED) test --test security -- --ignored --nocapture --test-threads=2

nodes:
	$(WORLD)/install test
	$(WORLD)/start-synapse run -- cargo test --test nodes -- --include-ignored --nocapture --test-threads=1

FAULTS_KILLS ?= 10000
FAULTS_DATABASE ?= sqlite
export FAULTS_KILLS FAULTS_DATABASE
faults:
	$(WORLD)/install test
	$(WORLD)/start-synapse run -- cargo test --test faults a_long_campaign -- --ignored --nocapture

mas-check:
	@[ -n "$(MAS_WORLD)" ] || { echo "MAS_WORLD=/path/to/world.json make mas-check; docs/homeservers.md says what is in that file" >&2; exit 1; }
	$(WORLD)/install test
	MAS_WORLD=$(MAS_WORLD) cargo test --test mas a_real_mas -- --ignored --nocapture

planted:
	$(WORLD)/install test
	$(WORLD)/start-synapse run -- tests/faults/planted/run

PICTURES = docs/screenshots
screenshots:
	$(WORLD)/install test
	$(WORLD)/start-synapse run -- cargo test --test browser -- --ignored screenshots
	! command -v pngquant || pngquant --force --ext .png --speed 1 --strip $(PICTURES)/*.png

clean:
	cargo clean
	rm -rf fuzz/target
	rm -f $(PROGRAMS)

.PHONY: all install deb demo demo-check test test-one token-check mas-check package-test container container-test newcomer-test screenshots fuzz fuzz-rounds load attack nodes faults bench-lookups bench-requests planted bench clean
