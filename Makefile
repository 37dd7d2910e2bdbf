# tracksync, built with PGXS.
#
#   make demo    installs what is missing (root on Debian), builds, shows the extension at work
#   make check   the same for all tests; SUITES="order regress isolation pgtap tap" runs some of them, TESTS="a b" some files
#   make stage   builds and installs into tmp_install, where test/tools/with_cluster finds it
#   make bench, make plots (of what bench measured, into docs/plots), make acceptance [ISSUES="2 3"], make check-versions [VERSIONS="13 18"] (13, 15, 17, 18 in chroots)
#   make, make install, make clean  as with any PGXS extension; PG_CONFIG=... or TS_PGBIN=... choose the server

ifdef TS_PGBIN
PG_CONFIG = $(TS_PGBIN)/pg_config
endif
PG_CONFIG ?= pg_config

# Goals that install packages first cannot have PGXS read before: they work through a second make.
OUTER = check demo bench plots acceptance check-versions stage
ifneq (,$(filter $(OUTER),$(MAKECMDGOALS)))

.PHONY: $(MAKECMDGOALS)
.NOTPARALLEL:
export MAKE SUITES TESTS

check:
	@test/tools/install_missing check
	@test/tools/check
demo:
	@test/tools/install_missing demo
	@test/tools/stage
	@test/tools/with_cluster test/demo/run
stage:
	@test/tools/stage
bench:
	@test/tools/install_missing demo
	@test/tools/stage
	@test/bench/run
plots:
	@test/bench/plot tmp_bench docs/plots
acceptance:
	@test/tools/stage
	@test/tools/acceptance $(ISSUES)
check-versions:
	@test/tools/check_versions $(VERSIONS)

# what else stands on the same command line ("make clean check")
$(filter-out $(OUTER),$(MAKECMDGOALS)):
	@$(MAKE) --no-print-directory $@

else

EXTENSION = tracksync
MODULE_big = tracksync
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*/*.c)))

# The install script, in this order.
SQL_PARTS = sql/schema.sql sql/tables.sql sql/capture.sql sql/server.sql sql/link.sql sql/plan.sql sql/rule.sql sql/append.sql sql/verify.sql sql/repair.sql sql/views.sql \
	sql/rights.sql
DATA_built = sql/tracksync--1.0.sql

REGRESS = $(sort $(basename $(notdir $(wildcard test/sql/*.sql))))
REGRESS_OPTS = --inputdir=test --outputdir=. --load-extension=tracksync
ISOLATION = $(sort $(basename $(notdir $(wildcard test/specs/*.spec))))
ISOLATION_OPTS = --inputdir=test --outputdir=. --load-extension=tracksync

# libpq is loaded when it is needed (src/remote/pq.c). Calls of our own functions are bound when the library is linked: the loader would look for
# each of them in some forty libraries first, those of the server, which took every session that writes to a tracked table half a millisecond.
SHLIB_LINK = $(if $(filter darwin,$(PORTNAME)),,-Wl,-Bsymbolic)

# PostgreSQL's headers as system headers: their warnings are not ours to mend. Callbacks and fmgr functions have
# parameters they do not use, and the server's own counters mix int and Size.
PG_CPPFLAGS = -Isrc -isystem $(shell $(PG_CONFIG) --includedir-server) -isystem $(shell $(PG_CONFIG) --includedir) -MD -MP
PG_CFLAGS = -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare $(CLANG_CFLAGS)
# clang does not know all flags of the gcc that PostgreSQL was built with
CLANG_CFLAGS = $(if $(findstring clang,$(shell $(CC) --version)),-Wno-unknown-warning-option -Wno-ignored-optimization-argument)

EXTRA_CLEAN = $(OBJS:.o=.d) tmp_install tmp_check results output_iso regression.diffs regression.out

# no bitcode: it needs clang, and nothing here is worth inlining
override with_llvm = no

PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifneq (,$(wildcard $(PGXS)))
include $(PGXS)
else
.PHONY: all install clean
all install clean:
	@echo '$(PG_CONFIG) not found, or no PGXS: "make check" and "make demo" as root install what is missing' >&2; exit 1
endif

sql/tracksync--1.0.sql: $(SQL_PARTS) Makefile
	{ printf '%s\n' '\echo Use "CREATE EXTENSION tracksync" to load this file. \quit' && cat $(SQL_PARTS); } >$@.new
	mv $@.new $@

$(OBJS): Makefile
-include $(OBJS:.o=.d)

endif
