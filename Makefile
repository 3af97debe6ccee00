# supervisord. `make help` lists what there is.
#
# One Makefile, no recursion. FLAVOUR=release (the default, in build/), asan or
# tsan (in build/asan, build/tsan); flavours never mix.

FLAVOUR ?= release
PREFIX ?= /usr/local
DESTDIR ?=
VERSION := 0.1.0

CC = gcc
PKG_CONFIG ?= pkg-config
PYTHON ?= /usr/bin/python3

ifeq ($(FLAVOUR),release)
D := build
FLAVOUR_CFLAGS = -O2 -g -fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
PIE_CFLAGS = -fPIE
PIE_LDFLAGS = -pie -Wl,-z,relro,-z,now
# The guardian alone is static: it can be copied into an image by itself.
GUARDIAN_LDFLAGS = -static-pie -Wl,-z,relro,-z,now
else ifeq ($(FLAVOUR),asan)
D := build/asan
FLAVOUR_CFLAGS = -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -DTEST_BUILD
FLAVOUR_LDFLAGS = -fsanitize=address,undefined
else ifeq ($(FLAVOUR),tsan)
D := build/tsan
FLAVOUR_CFLAGS = -O1 -g -fsanitize=thread -DTEST_BUILD
FLAVOUR_LDFLAGS = -fsanitize=thread
else ifeq ($(FLAVOUR),fuzz)
# What `make fuzz` runs: the targets of tests/fuzz with libFuzzer.
D := build/fuzz
CC = clang-14
FLAVOUR_CFLAGS = -O1 -g -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=undefined -fno-omit-frame-pointer -DTEST_BUILD
FLAVOUR_LDFLAGS = -fsanitize=address,undefined
else
$(error FLAVOUR is release, asan or tsan, not "$(FLAVOUR)")
endif

WARNINGS = -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes \
	-Wpointer-arith -Wcast-qual -Wwrite-strings -Wundef -Wformat=2 -Wimplicit-fallthrough
ifneq ($(WERROR),)
WARNINGS += -Werror
endif

OBJ := $(D)/obj
# -fno-strict-aliasing: libev's watchers are cast between types by design.
ALL_CFLAGS = -std=gnu17 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DVERSION='"$(VERSION)"' -DEV_COMPAT3=0 \
	-I. -Iworkers/include -fno-strict-aliasing $(WARNINGS) $(FLAVOUR_CFLAGS) $(PIE_CFLAGS) $(CFLAGS)
ALL_LDFLAGS = $(FLAVOUR_LDFLAGS) $(LDFLAGS)

# The store that several supervisords share; without the library there is none.
HIREDIS := $(shell $(PKG_CONFIG) --exists hiredis && echo yes)
ifneq ($(HIREDIS),)
ALL_CFLAGS += -DWITH_HIREDIS
HIREDIS_LIBS = $(shell $(PKG_CONFIG) --libs hiredis)
endif

ifeq ($(V),)
Q := @
SAY = @printf '  %-8s %s\n'
else
Q :=
SAY = @:
endif

# --- rooms: every .c of a folder, the programs' main.c kept apart -----------
room = $(filter-out %/main.c,$(foreach dir,$(1),$(wildcard $(dir)/*.c)))
objs = $(patsubst %.c,$(OBJ)/%.o,$(1))

BASE_SRC := $(call room,supervisord/base)
PROTO_SRC := $(call room,supervisord/proto)
RPC_SRC := $(call room,supervisord/rpc)
SQLITE_SRC := $(call room,supervisord/sqlite)
CONFIG_SRC := $(call room,config)
STATE_SRC := $(call room,state)
LAUNCH_SRC := $(call room,workers/launch)
GUARDIAN_SRC := $(call room,supervisord/guardian)
MASTER_SRC := $(call room,supervisord/master supervisord/master/policy supervisord/master/cmd)
LOGGER_SRC := $(call room,supervisord/logger)
CTL_SRC := $(call room,supervisord/ctl)
BROKER_SRC := $(call room,supervisord/broker supervisord/broker/cmd supervisord/broker/sqlite supervisord/broker/redis)
RUNTIME_SRC := $(call room,workers/runtime)
CLIENT_SRC := $(call room,workers/client)

ROOMS := base proto rpc sqlite config state launch guardian master logger ctl broker runtime client
base_SRC := $(BASE_SRC)
proto_SRC := $(PROTO_SRC)
rpc_SRC := $(RPC_SRC)
sqlite_SRC := $(SQLITE_SRC)
config_SRC := $(CONFIG_SRC)
state_SRC := $(STATE_SRC)
launch_SRC := $(LAUNCH_SRC)
guardian_SRC := $(GUARDIAN_SRC)
master_SRC := $(MASTER_SRC)
logger_SRC := $(LOGGER_SRC)
ctl_SRC := $(CTL_SRC)
broker_SRC := $(BROKER_SRC)
runtime_SRC := $(RUNTIME_SRC)
client_SRC := $(CLIENT_SRC)
archive = $(foreach r,$(1),$(OBJ)/lib$(r).a)

HELPERS := $(D)/libexec/supervisord/master $(D)/libexec/supervisord/logger
HELPERS += $(D)/libexec/supervisord/broker $(D)/libexec/supervisord/worker
MODULES := $(patsubst workers/examples/%.c,$(D)/examples/%.so,$(wildcard workers/examples/*.c))
PROGRAMS := $(D)/supervisord $(D)/supervisorctl $(HELPERS)

.DEFAULT_GOAL := all
.PHONY: all
all: $(PROGRAMS) $(MODULES) $(D)/libsupervisor.a ## build everything into build/

# Without this a fresh clone has to call `make deps` first; `make` alone says so.
$(PROGRAMS): | $(OBJ)/deps-checked
$(OBJ)/deps-checked:
	@tests/deps --check build
	@mkdir -p $(@D) && touch $@

define room_rule
$(OBJ)/lib$(1).a: $(call objs,$($(1)_SRC))
	$$(SAY) AR $$@
	$$(Q)rm -f $$@ && ar rcs $$@ $$^
endef
$(foreach r,$(ROOMS),$(eval $(call room_rule,$(r))))

$(OBJ)/%.o: %.c | $(OBJ)/deps-checked
	$(SAY) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# The scripts are in the program.
$(OBJ)/supervisord/broker/redis/scripts.o: $(wildcard supervisord/broker/redis/*.lua)

# The code between clone and exec shares the guardian's memory and must be
# plain: no sanitizer, no stack protector, no profiling.
$(call objs,$(LAUNCH_SRC)): FLAVOUR_CFLAGS = -O2 -g -fno-stack-protector

link = $(SAY) LINK $@; mkdir -p $(@D); $(CC) $(ALL_LDFLAGS) $(1) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(2)

MASTER_LIBS = -lev $(shell $(PKG_CONFIG) --libs libconfig sqlite3 jansson) -lpthread -lm
BROKER_LIBS = -lev $(shell $(PKG_CONFIG) --libs sqlite3 jansson) $(HIREDIS_LIBS) -lpthread -lm
LOGGER_LIBS = $(shell $(PKG_CONFIG) --libs zlib)
# libedit is loaded when the shell starts: linked, it costs every command.
CTL_LIBS = $(shell $(PKG_CONFIG) --libs jansson)

$(D)/supervisord: $(OBJ)/supervisord/guardian/main.o $(call archive,guardian launch proto base)
	$(Q)$(call link,$(if $(GUARDIAN_LDFLAGS),$(GUARDIAN_LDFLAGS),$(PIE_LDFLAGS)),)
$(D)/libexec/supervisord/master: $(OBJ)/supervisord/master/main.o $(call archive,master config state sqlite rpc proto base)
	$(Q)$(call link,$(PIE_LDFLAGS),$(MASTER_LIBS))
$(D)/libexec/supervisord/logger: $(OBJ)/supervisord/logger/main.o $(call archive,logger proto base)
	$(Q)$(call link,$(PIE_LDFLAGS),$(LOGGER_LIBS))
$(D)/libexec/supervisord/broker: $(OBJ)/supervisord/broker/main.o $(call archive,broker sqlite rpc proto base)
	$(Q)$(call link,$(PIE_LDFLAGS),$(BROKER_LIBS))
# -rdynamic: a module's calls of <supervisor/worker.h> are found in the program.
$(D)/libexec/supervisord/worker: $(OBJ)/workers/runtime/main.o $(call archive,runtime proto base)
	$(Q)$(call link,$(PIE_LDFLAGS) -rdynamic,-ldl -lpthread)
# As their readers build them: what an example needs defined it defines itself.
$(D)/examples/%.so: workers/examples/%.c workers/include/supervisor/worker.h
	$(SAY) MODULE $@
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu17 -O2 -g -fPIC -shared $(WARNINGS) -Iworkers/include $(CFLAGS) -o $@ $<
# The C client: what <supervisor/client.h> declares, and nothing else, for other
# programs and for modules.
$(call objs,$(CLIENT_SRC)): PIE_CFLAGS = -fPIC -fvisibility=hidden
$(OBJ)/supervisord/proto/wire.o: PIE_CFLAGS = -fPIC -fvisibility=hidden
$(D)/libsupervisor.a: $(call objs,$(CLIENT_SRC)) $(OBJ)/supervisord/proto/wire.o
	$(SAY) AR $@
	$(Q)rm -f $@ && ar rcs $@ $^
$(D)/supervisorctl: $(OBJ)/supervisord/ctl/main.o $(call archive,ctl proto base)
	$(Q)$(call link,$(PIE_LDFLAGS),$(CTL_LIBS))

-include $(shell find $(OBJ) -name '*.d' 2>/dev/null)

# --- tests ------------------------------------------------------------------
UNIT_SRC := $(wildcard tests/unit/test_*.c)
UNIT_BIN := $(patsubst tests/unit/%.c,$(D)/tests/%,$(UNIT_SRC))
SIM_SRC := $(wildcard tests/sim/*.c)
SIM_BIN := $(patsubst tests/sim/%.c,$(D)/tests/%,$(SIM_SRC))
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_BIN := $(patsubst tests/fuzz/%.c,$(D)/tests/%,$(FUZZ_SRC))
TEST_PROGRAM_SRC := $(wildcard tests/programs/*.c)
TEST_PROGRAM_BIN := $(patsubst tests/programs/%.c,$(D)/tests/programs/%,$(TEST_PROGRAM_SRC))
BENCH_SRC := $(wildcard tests/bench/*.c)
BENCH_BIN := $(patsubst tests/bench/%.c,$(D)/tests/bench/%,$(BENCH_SRC)) $(D)/tests/bench/queue $(D)/tests/bench/noop.so

TEST_LIBS = $(MASTER_LIBS) $(BROKER_LIBS) -ldl $(LOGGER_LIBS) $(CTL_LIBS) -lcmocka
$(UNIT_BIN): $(D)/tests/%: $(OBJ)/tests/unit/%.o $(call archive,$(ROOMS))
	$(Q)$(call link,$(PIE_LDFLAGS),$(TEST_LIBS))
$(SIM_BIN): $(D)/tests/%: $(OBJ)/tests/sim/%.o $(call archive,$(ROOMS))
	$(Q)$(call link,$(PIE_LDFLAGS),$(TEST_LIBS))
# The fuzz targets run their corpus here; `make fuzz` builds them for libFuzzer.
ifeq ($(FLAVOUR),fuzz)
FUZZ_MAIN_LDFLAGS = -fsanitize=fuzzer
else
FUZZ_MAIN = $(OBJ)/tests/fuzz/replay.o
endif
$(FUZZ_BIN): $(D)/tests/%: $(OBJ)/tests/fuzz/%.o $(FUZZ_MAIN) $(call archive,$(ROOMS))
	$(Q)$(call link,$(PIE_LDFLAGS) $(FUZZ_MAIN_LDFLAGS),$(TEST_LIBS))
# Small programs with one vice each: static, so that starting them costs little.
$(D)/tests/programs/% $(D)/tests/bench/%: FLAVOUR_CFLAGS = -O2 -g
$(D)/tests/programs/%: tests/programs/%.c
	$(SAY) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu17 -D_GNU_SOURCE -O2 -g $(WARNINGS) -static -o $@ $<
$(D)/tests/bench/%: tests/bench/%.c
	$(SAY) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu17 -D_GNU_SOURCE -O2 -g $(WARNINGS) -static -o $@ $<
# The queue's prototype commits through SQLite.
$(D)/tests/bench/queue: $(wildcard tests/bench/queue/*.[ch]) $(OBJ)/supervisord/proto/wire.o
	$(SAY) CC $(@:$(D)/%=%)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu17 -D_GNU_SOURCE -O2 -g $(WARNINGS) -I. -o $@ $(filter-out %.h,$^) $(shell $(PKG_CONFIG) --libs sqlite3) -lpthread
$(D)/tests/bench/%.so: tests/bench/modules/%.c workers/include/supervisor/worker.h
	$(SAY) MODULE $@
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu17 -D_GNU_SOURCE -O2 -g -fPIC -shared $(WARNINGS) -Iworkers/include -o $@ $<
# The measured worker itself starts without libc: one page to map.
$(D)/tests/bench/tiny: tests/bench/tiny.c
	$(SAY) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu17 -D_GNU_SOURCE -O2 $(WARNINGS) -fno-stack-protector -ffreestanding -static -nostdlib -Wl,--build-id=none -o $@ $<

.PHONY: test-programs thread-tests
# What tests/run --threads runs.
thread-tests: all $(filter $(D)/tests/test_state_% $(D)/tests/test_runtime_% $(D)/tests/test_broker_store $(D)/tests/test_broker_store_faults $(D)/tests/test_broker_shared%,$(UNIT_BIN)) $(TEST_PROGRAM_BIN)
test-programs: all $(UNIT_BIN) $(SIM_BIN) $(FUZZ_BIN) $(TEST_PROGRAM_BIN)

# Where nobody has said how many jobs, those that build all use every CPU.
JOBS = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc 2>/dev/null || echo 2))

.PHONY: test check bench bench-programs lint demo deps help install uninstall clean format fuzz fuzz-programs soak
test: ## install what is missing, build, run every test (release and sanitizers)
	@tests/deps test
	@$(MAKE) $(JOBS) --no-print-directory test-programs
	@$(MAKE) $(JOBS) --no-print-directory FLAVOUR=asan test-programs
	@$(MAKE) $(JOBS) --no-print-directory FLAVOUR=tsan thread-tests
	@$(PYTHON) tests/run --build build --sanitized build/asan --threads build/tsan

check: test-programs ## build one flavour and run its tests, without installing anything
	@$(PYTHON) tests/run --build $(D)

fuzz-programs: $(FUZZ_BIN)
soak: test-programs ## the long forms: kill loops, random lives, failing allocations, power cuts
	@SUPERVISORD_TEST_LONG=1 SUPERVISORD_TEST_STRICT=1 $(PYTHON) tests/run --times --build $(D) sim: \
	    scenario:test_queue_kills scenario:test_memory scenario:test_survival.Storm scenario:test_chaos \
	    scenario:test_broker.Killed scenario:test_queue.Survival unit:test_broker_store_kill

bench-programs: all $(BENCH_BIN) $(TEST_PROGRAM_BIN)
bench: ## measure against the bare limit and installed peers
	@tests/deps bench
	@$(MAKE) $(JOBS) --no-print-directory bench-programs
	@$(PYTHON) tests/bench/run --build build $(BENCH)

fuzz: ## run the fuzz targets under libFuzzer (FUZZ_SECONDS=60 each, FUZZ=part of a name)
	@tests/deps fuzz
	@$(MAKE) $(JOBS) --no-print-directory FLAVOUR=fuzz fuzz-programs
	@tests/fuzz/run

lint: ## formatting, include arrows, clang-tidy, cppcheck
	@tests/deps lint
	@tests/lint

format: ## let clang-format have its way
	@git ls-files '*.c' '*.h' | xargs clang-format -i

deps: ## install what is missing for building and testing (apt-get, as root)
	@tests/deps test

demo: ## install what is missing, build, run the example fleet and show it
	@tests/deps demo
	@$(MAKE) $(JOBS) --no-print-directory all
	@config/examples/demo

# Folders install may have to make, those that hold others first; what it made is
# noted for uninstall.
DOC := $(PREFIX)/share/doc/supervisord
MAN := $(PREFIX)/share/man
FOLDERS := $(PREFIX) $(addprefix $(PREFIX)/,bin libexec libexec/supervisord include include/supervisor lib \
	lib/pkgconfig share share/man share/man/man1 share/man/man5 share/man/man7 share/man/man8 share/doc) \
	$(DOC) $(DOC)/client $(DOC)/redis $(DOC)/examples
# Installed, the pages lie in one folder: their links are told so.
LINKS = sed -e 's|workers/client/README\.md|client/README.md|g' -e 's|supervisord/broker/TASKS\.md|TASKS.md|g' \
	-e 's|state/SCHEMA\.md|SCHEMA.md|g' -e 's|supervisord/master/CONTROL\.md|CONTROL.md|g' \
	-e 's|workers/PROTOCOL\.md|PROTOCOL.md|g' -e 's|workers/examples|examples|g' -e 's|config/examples|examples|g' \
	-e 's|](\([a-z]*/\)*\([a-z.]*\)\.\([1578]\))|](../../man/man\3/\2.\3)|g'

install: all ## install below $(DESTDIR)$(PREFIX)
	@made=; for d in $(FOLDERS); do [ -d "$(DESTDIR)$$d" ] || made="$$made $$d"; done; \
	    install -d $(addprefix $(DESTDIR),$(FOLDERS)) && \
	    for d in $$made; do echo "$$d"; done >>$(DESTDIR)$(DOC)/folders && chmod 644 $(DESTDIR)$(DOC)/folders
	install -m 755 $(D)/supervisord $(D)/supervisorctl $(DESTDIR)$(PREFIX)/bin/
	install -m 755 $(HELPERS) $(DESTDIR)$(PREFIX)/libexec/supervisord/
	install -m 644 supervisord/ctl/supervisorctl.1 $(DESTDIR)$(MAN)/man1/
	install -m 644 config/supervisord.cfg.5 $(DESTDIR)$(MAN)/man5/
	install -m 644 workers/worker.7 $(DESTDIR)$(MAN)/man7/
	install -m 644 supervisord/supervisord.8 $(DESTDIR)$(MAN)/man8/
	install -m 644 LICENSE state/SCHEMA.md supervisord/broker/TASKS.md supervisord/master/CONTROL.md \
	    workers/PROTOCOL.md $(DESTDIR)$(DOC)/
	install -m 644 supervisord/broker/redis/README.md $(DESTDIR)$(DOC)/redis/
	install -m 644 workers/client/README.md $(DESTDIR)$(DOC)/client/
	$(LINKS) README.md >$(DESTDIR)$(DOC)/README.md
	chmod 644 $(DESTDIR)$(DOC)/README.md
	install -m 644 workers/include/supervisor/*.h $(DESTDIR)$(PREFIX)/include/supervisor/
	install -m 644 $(D)/libsupervisor.a $(DESTDIR)$(PREFIX)/lib/
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' workers/supervisor.pc.in \
	    >$(DESTDIR)$(PREFIX)/lib/pkgconfig/supervisor.pc
	chmod 644 $(DESTDIR)$(PREFIX)/lib/pkgconfig/supervisor.pc
	install -m 644 workers/examples/*.c workers/examples/worker.py workers/client/supervisor_tasks.py \
	    config/examples/demo.cfg config/examples/demo-*.py $(DESTDIR)$(DOC)/examples/

uninstall: ## remove what install put there
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/,bin/supervisord bin/supervisorctl lib/libsupervisor.a \
	    lib/pkgconfig/supervisor.pc) $(addprefix $(DESTDIR)$(MAN)/,man1/supervisorctl.1 man5/supervisord.cfg.5 \
	    man7/worker.7 man8/supervisord.8)
	rm -rf $(DESTDIR)$(PREFIX)/libexec/supervisord $(DESTDIR)$(PREFIX)/include/supervisor
	@made=$$(tac $(DESTDIR)$(DOC)/folders 2>/dev/null); rm -rf $(DESTDIR)$(DOC); \
	    for d in $$made; do rmdir "$(DESTDIR)$$d" 2>/dev/null || :; done

clean: ## remove build/
	rm -rf build

help: ## this list
	@echo 'make            build into build/ (the same as make all)'
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | grep -v '^make all' | expand -t 24
	@echo 'Variables: FLAVOUR=release|asan|tsan, PREFIX, DESTDIR, CFLAGS, LDFLAGS, WERROR=1, V=1'
