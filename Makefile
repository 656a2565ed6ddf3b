# graft: build, test, run. `make help` lists the targets.
VARIANT ?= release
BUILD := build/$(VARIANT)
# Newer distributions call the C library msgpack-c.
MSGPACK := $(shell pkg-config --exists msgpack-c 2>/dev/null && echo msgpack-c || echo msgpack)
PACKAGES := libutf8proc libzmq $(MSGPACK) openblas libconfig libprotobuf-c sqlite3 libjpeg libpng jansson libsodium
TEST_PACKAGES := cmocka
ifeq ($(origin CC),default)
CC := gcc
endif
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla \
	-Wno-missing-field-initializers -Wcast-qual -Wundef -Wformat=2 -Wswitch-enum -fno-common
# Warnings are errors in the tests and in CI; a compiler newer than ours must not stop `make` and `make demo`.
WERROR ?= $(if $(CI),-Werror)
OPT_release := -O3 -g
OPT_asan := -O1 -g -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined
OPT_tsan := -O1 -g -fsanitize=thread -fno-omit-frame-pointer
OPT := $(OPT_$(VARIANT))
CPPFLAGS += -I. -I$(BUILD)/gen -D_POSIX_C_SOURCE=200809L $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
# No fast-math and no contraction of a*b+c across statements: sums must be the same wherever they are computed.
CFLAGS += -std=c17 $(OPT) -ffp-contract=off $(WARN) $(WERROR) -pthread
LDFLAGS += $(OPT) -pthread -Wl,--as-needed
LDLIBS += $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -ldnnl -lgomp -lm

SRC_common := $(wildcard common/*/*.c common/*/*/*.c)
SRC_worker := $(filter-out worker/main.c worker/predict.c,$(wildcard worker/*.c worker/*/*.c worker/*/*/*.c))
SRC_paramserver := $(filter-out paramserver/main.c,$(wildcard paramserver/*.c paramserver/*/*.c))
SRC_coordinator := $(filter-out coordinator/main.c,$(wildcard coordinator/*.c coordinator/*/*.c))
GEN_OBJ := $(BUILD)/gen/onnx.pb-c.o
obj = $(patsubst %.c,$(BUILD)/%.o,$(1))
OBJ_common := $(call obj,$(SRC_common)) $(GEN_OBJ)
OBJ_worker := $(call obj,$(SRC_worker))
OBJ_paramserver := $(call obj,$(SRC_paramserver))
OBJ_coordinator := $(call obj,$(SRC_coordinator))
PROGRAMS := $(BUILD)/graft $(BUILD)/graft-worker $(BUILD)/graft-server $(BUILD)/graft-predict
UNIT_SRC := $(wildcard tests/unit/*_test.c)
UNIT := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(UNIT_SRC))

.DEFAULT_GOAL := all
C_FILES := $(wildcard common/*/*.[ch] common/*/*/*.[ch] worker/*.[ch] worker/*/*.[ch] worker/*/*/*.[ch] paramserver/*.[ch] paramserver/*/*.[ch] \
	coordinator/*.[ch] coordinator/*/*.[ch] tests/*/*.[ch])
JOBS ?= $(shell nproc)
# As many jobs as there are cores, unless the caller has said how many.
SUBMAKE = $(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(JOBS))
TESTED_WERROR := $(or $(WERROR),-Werror)

.PHONY: all deps help run demo emoji emoji-test reviews unit units test asan tsan lint format fuzz bench bench-wire study noise simulate chaos conformance networks state-dict swarm bench-cluster install clean
.SECONDARY:

all: deps $(PROGRAMS) ## Build graft, graft-worker, graft-server and graft-predict into build/release

help: ## This list
	@grep -hE '^[a-z][a-z_. -]*:.*## ' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  %-22s %s\n", $$1, $$2}'

ONNX_SCHEMA := /usr/include/onnx

deps: # of oneDNN the versions that worker/engine/onednn.c knows
	@missing=`for p in $(PACKAGES); do pkg-config --exists $$p || echo $$p; done; \
		printf '%s\n' '#include <dnnl.h>' '#if DNNL_VERSION_MAJOR != 2 && DNNL_VERSION_MAJOR != 3' '#error' '#endif' | \
			$(CC) $(CPPFLAGS) -E -x c - >/dev/null 2>&1 || echo 'oneDNN 2 or 3'; \
		test -e $(ONNX_SCHEMA)/onnx.proto || echo onnx.proto; command -v protoc-c >/dev/null || echo protoc-c`; \
	test -z "$$missing" || { echo "missing:" $$missing; echo "run scripts/setup (as root or with sudo) and try again"; exit 1; }

$(BUILD)/gen/onnx.pb-c.c: | deps
	@mkdir -p $(BUILD)/gen
	protoc-c --proto_path=$(ONNX_SCHEMA) --c_out=$(BUILD)/gen onnx.proto
$(BUILD)/gen/onnx.pb-c.h: $(BUILD)/gen/onnx.pb-c.c ;
$(GEN_OBJ): $(BUILD)/gen/onnx.pb-c.c
	@$(CC) $(CPPFLAGS) -std=c17 $(OPT) -w -c $< -o $@

$(BUILD)/%.o: %.c | $(BUILD)/gen/onnx.pb-c.h
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

# Nobody reads errno after a square root; with it, they are taken one by one.
$(BUILD)/paramserver/optim/optimizer.o: CFLAGS += -fno-math-errno

$(BUILD)/graft: $(call obj,coordinator/main.c) $(OBJ_coordinator) $(OBJ_common)
$(BUILD)/graft-worker: $(call obj,worker/main.c) $(OBJ_worker) $(OBJ_common)
$(BUILD)/graft-predict: $(call obj,worker/predict.c) $(OBJ_worker) $(OBJ_common)
$(BUILD)/graft-server: $(call obj,paramserver/main.c) $(OBJ_paramserver) $(OBJ_common)
$(PROGRAMS):
	@echo "  LD $@"
	@$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

# A unit test may use every role's parts (a test is no role).
$(BUILD)/tests/%: $(BUILD)/tests/unit/%.o $(OBJ_common) $(OBJ_worker) $(OBJ_paramserver) $(OBJ_coordinator)
	@mkdir -p $(@D)
	@echo "  LD $@"
	@$(CC) $(LDFLAGS) $^ $(LDLIBS) $(shell pkg-config --libs $(TEST_PACKAGES)) -o $@

run: all ## Run a job: make run CONFIG=configs/demo.cfg
	$(BUILD)/graft run $(or $(CONFIG),configs/demo.cfg)

demo: ## Install what is missing, build, fetch model and data, run the demo (SEEDS=5 for five seeds)
	@scripts/setup demo
	@$(SUBMAKE) all
	@SEEDS=$(or $(SEEDS),1) scripts/demo

emoji: ## The same for the emoji job, a larger one: 150 MB and PyTorch to fetch, then some minutes (SEEDS=5 for five seeds)
	@scripts/setup emoji
	@$(SUBMAKE) all
	@SEEDS=$(or $(SEEDS),1) scripts/demo emoji

reviews: ## The same for the reviews job, on texts: 85 MB and PyTorch to fetch
	@scripts/setup emoji
	@$(SUBMAKE) all
	@SEEDS=$(or $(SEEDS),1) scripts/demo reviews

emoji-test: all ## The tests of the emoji job, which `make test` leaves out; they skip without its model and data
	@GRAFT_BUILD=$(CURDIR)/$(BUILD) python3 tests/integration/emoji_test.py

unit: deps ## Build and run the unit tests of this VARIANT
	@$(SUBMAKE) WERROR=$(TESTED_WERROR) all units
	@scripts/run-tests $(VARIANT) unit

test: ## Install what is missing, build, run every test
	@scripts/setup test
	@scripts/setup referee
	@scripts/fetch-demo || echo "the tests of the demo job will skip"
	@$(SUBMAKE) WERROR=$(TESTED_WERROR) all units
	@scripts/run-tests $(VARIANT)

asan tsan: ## The same tests under the address (and undefined behaviour) or thread sanitizer
	@$(MAKE) --no-print-directory test VARIANT=$@

units: $(UNIT) $(BUILD)/swarm $(BUILD)/trunk_bench $(BUILD)/engine_bench $(BUILD)/conformance $(BUILD)/forward $(BUILD)/train $(BUILD)/encode

lint: ## Format, static analysis, include rules, names, lengths
	@scripts/setup lint
	@scripts/lint

format: ## Format the tree as .clang-format says
	@clang-format -i $(C_FILES)

FUZZ_SECONDS ?= 60
FUZZ_CC := clang -std=c17 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined $(CPPFLAGS)
FUZZ_safetensors := $(wildcard common/base/*.c common/tensor/*.c)
FUZZ_message := $(wildcard common/base/*.c common/wire/*.c)
FUZZ_onnx := $(wildcard common/base/*.c common/tensor/*.c) common/config/nearest.c \
	$(filter-out common/model/onnx/writer.c common/model/onnx/writing.c common/model/onnx/external.c common/model/onnx/opset.c,$(wildcard common/model/onnx/*.c)) \
	$(addprefix common/model/,graph.c op_table.c window_rules.c flops_rules.c gradient_rules.c dtype_rules.c) $(wildcard common/model/shape_*.c)

FUZZ_text := $(wildcard common/base/*.c) common/data/text_row.c worker/data/wordpiece.c worker/data/rune.c

fuzz: ## Fuzz the decoders, FUZZ_SECONDS each (corpus: tests/fuzz/corpus)
	@scripts/setup lint
	@$(MAKE) --no-print-directory $(patsubst tests/fuzz/%_fuzz.c,fuzz-%,$(wildcard tests/fuzz/*_fuzz.c))

fuzz-%: tests/fuzz/%_fuzz.c $(BUILD)/gen/onnx.pb-c.h
	@mkdir -p build/fuzz/$*
	$(FUZZ_CC) $< $(FUZZ_$*) $(if $(filter onnx,$*),$(BUILD)/gen/onnx.pb-c.c) $(LDLIBS) -o build/fuzz/$*_fuzz
	build/fuzz/$*_fuzz -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=4096 -print_final_stats=1 -artifact_prefix=build/fuzz/$*- build/fuzz/$* tests/fuzz/corpus/$*

bench: all $(BUILD)/trunk_bench $(BUILD)/engine_bench ## The engine beside PyTorch and ONNX Runtime, one thread each, in turns
	@scripts/setup bench
	@scripts/fetch-demo
	build/venv/bin/python tests/bench/trunk_bench.py $(BUILD)/trunk_bench \
		$(or $(GRAFT_CACHE),$(HOME)/.cache/graft)/demo/ch_PP-OCRv4_rec_infer.onnx p2o.AveragePool.1
	build/venv/bin/python tests/bench/engine_bench.py $(BUILD)/engine_bench
	@$(SUBMAKE) bench-cluster

bench-cluster: all $(BUILD)/swarm ## What copies cost a step; a head of 100 MB on two hosts with 1 Gbit/s (as root); part of bench
	@scripts/fetch-demo
	@GRAFT_BUILD=$(CURDIR)/$(BUILD) python3 tests/bench/cluster_bench.py

$(BUILD)/trunk_bench $(BUILD)/engine_bench: $(BUILD)/%: $(BUILD)/tests/bench/%.o $(OBJ_worker) $(OBJ_common)
	@echo "  LD $@"
	@$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

bench-wire: deps ## The wire beside raw ZeroMQ and memcpy, and the server's update beside memory bandwidth
	@$(SUBMAKE) $(BUILD)/wire_bench
	@$(BUILD)/wire_bench $(ROUNDS)

$(BUILD)/wire_bench: $(call obj,tests/bench/wire_bench.c tests/bench/wire_pair.c) $(OBJ_worker) $(OBJ_paramserver) $(OBJ_common)
	@echo "  LD $@"
	@$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

study: all ## The accuracies that README and docs give beside the demo's, over STUDY_SEEDS seeds
	@scripts/setup referee
	@scripts/fetch-demo
	@for study in $(filter-out %/measure.py,$(wildcard tests/study/*.py)); do echo "== $$study"; build/venv/bin/python $$study $(or $(STUDY_SEEDS),3) || exit 1; done

swarm: all $(BUILD)/swarm ## One coordinator and 16 servers with 10, 100 and 1000 workers that compute nothing: costs for each worker and step
	@scripts/fetch-demo
	@GRAFT_BUILD=$(CURDIR)/$(BUILD) python3 tests/bench/swarm.py

$(BUILD)/swarm: $(call obj,tests/bench/swarm.c) $(OBJ_worker) $(OBJ_common)
	@echo "  LD $@"
	@$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

noise: all ## Random bytes and broken messages on every port of a running cluster for ten minutes, half of them with keys
	@GRAFT_BUILD=$(CURDIR)/$(BUILD) GRAFT_NOISE_SECONDS=$(or $(NOISE_SECONDS),300) python3 tests/integration/security_test.py noise

SIMULATE_SEEDS ?= 10000
simulate: deps ## Random lives of a simulated cluster, SIMULATE_SEEDS of them (SIMULATE_FIRST: the first seed)
	@$(SUBMAKE) $(BUILD)/simulate
	@$(BUILD)/simulate $(or $(SIMULATE_FIRST),0) $(SIMULATE_SEEDS) 2>&1 | grep -v "RUN\|  OK"

$(BUILD)/simulate: $(call obj,tests/simulate/simulate.c) $(OBJ_common) $(OBJ_worker) $(OBJ_paramserver) $(OBJ_coordinator)
	@echo "  LD $@"
	@$(CC) $(LDFLAGS) $^ $(LDLIBS) $(shell pkg-config --libs $(TEST_PACKAGES)) -o $@

chaos: all ## The demo job on three hosts while processes and the network fail, CHAOS_FAULTS times (CHAOS_SEED); as root
	@tests/chaos/chaos.py $(or $(CHAOS_FAULTS),100) $(or $(CHAOS_SEED),1)

conformance: deps ## The ONNX project's own tests of the operators: passed, not supported, failed
	@scripts/setup referee
	@$(SUBMAKE) $(BUILD)/conformance
	build/venv/bin/python tests/conformance/conformance.py $(BUILD)/conformance --round-trip

networks: deps ## Whole networks from PyTorch's exporters against ONNX Runtime, and 20 steps of training against PyTorch (NETWORKS=…: some)
	@scripts/setup networks
	@$(SUBMAKE) $(BUILD)/forward $(BUILD)/train
	@rm -rf build/networks
	build/venv/bin/python tests/networks/export.py build/networks $(NETWORKS)
	build/venv/bin/python tests/networks/compare.py $(BUILD)/forward build/networks
	build/venv/bin/python tests/networks/train.py $(BUILD)/train $(NETWORKS)

state-dict: all ## graft export against PyTorch: load_state_dict(strict) of what both of its ONNX exporters wrote
	@scripts/setup bench
	build/venv/bin/python tests/networks/state_dict.py $(BUILD)/graft

$(BUILD)/conformance: $(call obj,tests/conformance/conformance.c tests/conformance/executor.c) $(OBJ_worker) $(OBJ_common)
	@echo "  LD $@"
	@$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(BUILD)/encode: $(call obj,tests/text/encode.c) $(OBJ_worker) $(OBJ_common)
	@echo "  LD $@"
	@$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(BUILD)/train: $(call obj,tests/networks/train.c) $(OBJ_worker) $(OBJ_common)
	@echo "  LD $@"
	@$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(BUILD)/forward: $(call obj,tests/networks/forward.c tests/conformance/executor.c) $(OBJ_worker) $(OBJ_common)
	@echo "  LD $@"
	@$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

PREFIX ?= /usr/local
install: all ## Install the three programs into PREFIX/bin
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(PROGRAMS) $(DESTDIR)$(PREFIX)/bin

compile_commands.json: Makefile ## For editors and clang tools
	@$(foreach c,$(filter %.c,$(C_FILES)),printf '%s{"directory": "%s", "file": "%s", "command": "%s"}' "$$sep" "$(CURDIR)" $(c) '$(CC) $(subst ",,$(CPPFLAGS) $(CFLAGS)) -c $(c)' >>$@.tmp; sep=','; ) :
	@{ printf '['; cat $@.tmp; printf ']\n'; } >$@; rm -f $@.tmp

clean: ## Remove everything that was built
	rm -rf build

-include $(shell find build -name '*.d' 2>/dev/null)
