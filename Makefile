# graft: build, test, run. `make help` lists the targets.
VARIANT ?= release
BUILD := build/$(VARIANT)
PACKAGES := libzmq msgpack openblas libconfig libprotobuf-c sqlite3 libjpeg libpng jansson libsodium
TEST_PACKAGES := cmocka
CC ?= gcc
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla \
	-Wcast-qual -Wundef -Wformat=2 -Wswitch-enum -fno-common
WERROR ?= -Werror
OPT_release := -O3 -g
OPT_asan := -O1 -g -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined
OPT_tsan := -O1 -g -fsanitize=thread -fno-omit-frame-pointer
OPT := $(OPT_$(VARIANT))
CPPFLAGS += -I. -I$(BUILD)/gen -D_POSIX_C_SOURCE=200809L $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
# No fast-math and no contraction of a*b+c across statements: sums must be the same wherever they are computed.
CFLAGS += -std=c17 $(OPT) -ffp-contract=off $(WARN) $(WERROR) -pthread
LDFLAGS += $(OPT) -pthread -Wl,--as-needed
LDLIBS += $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -ldnnl -lgomp -lm

SRC_common := $(wildcard common/*/*.c)
SRC_worker := $(filter-out worker/main.c,$(wildcard worker/*.c worker/*/*.c worker/*/*/*.c))
SRC_paramserver := $(filter-out paramserver/main.c,$(wildcard paramserver/*.c paramserver/*/*.c))
SRC_coordinator := $(filter-out coordinator/main.c,$(wildcard coordinator/*.c coordinator/*/*.c))
GEN_OBJ := $(BUILD)/gen/onnx.pb-c.o
obj = $(patsubst %.c,$(BUILD)/%.o,$(1))
OBJ_common := $(call obj,$(SRC_common)) $(GEN_OBJ)
OBJ_worker := $(call obj,$(SRC_worker))
OBJ_paramserver := $(call obj,$(SRC_paramserver))
OBJ_coordinator := $(call obj,$(SRC_coordinator))
PROGRAMS := $(BUILD)/graft $(BUILD)/graft-worker $(BUILD)/graft-server
UNIT_SRC := $(wildcard tests/unit/*_test.c)
UNIT := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(UNIT_SRC))

.DEFAULT_GOAL := all
.PHONY: all deps help unit clean
.SECONDARY:

all: deps $(PROGRAMS) ## Build graft, graft-worker and graft-server into build/release

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

deps:
	@pkg-config --exists $(PACKAGES) || { echo "missing development packages; run scripts/setup (needs root) and try again"; pkg-config --print-errors --exists $(PACKAGES); exit 1; }

$(BUILD)/gen/onnx.pb-c.c:
	@mkdir -p $(BUILD)/gen
	protoc-c --proto_path=/usr/include/onnx --c_out=$(BUILD)/gen onnx.proto
$(BUILD)/gen/onnx.pb-c.h: $(BUILD)/gen/onnx.pb-c.c ;
$(GEN_OBJ): $(BUILD)/gen/onnx.pb-c.c
	@$(CC) $(CPPFLAGS) -std=c17 $(OPT) -w -c $< -o $@

$(BUILD)/%.o: %.c | $(BUILD)/gen/onnx.pb-c.h
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/graft: $(call obj,coordinator/main.c) $(OBJ_coordinator) $(OBJ_common)
	@echo "  LD $@"
	@$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@
$(BUILD)/graft-worker: $(call obj,worker/main.c) $(OBJ_worker) $(OBJ_common)
	@echo "  LD $@"
	@$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@
$(BUILD)/graft-server: $(call obj,paramserver/main.c) $(OBJ_paramserver) $(OBJ_common)
	@echo "  LD $@"
	@$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

# A unit test may use every role's parts (a test is no role).
$(BUILD)/tests/%: $(BUILD)/tests/unit/%.o $(OBJ_common) $(OBJ_worker) $(OBJ_paramserver) $(OBJ_coordinator)
	@mkdir -p $(@D)
	@echo "  LD $@"
	@$(CC) $(LDFLAGS) $^ $(LDLIBS) $(shell pkg-config --libs $(TEST_PACKAGES)) -o $@

unit: deps $(UNIT) ## Build and run the unit tests (cmocka)
	@set -e; for t in $(UNIT); do $$t; done

clean: ## Remove everything that was built
	rm -rf build

-include $(shell find build -name '*.d' 2>/dev/null)
