# make help lists the targets. Only `make test`, `make deps` and the first `make vm`
# need the network.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo build test deps conformance conformance-sam conformance-tape vm vm-tape vm-image bench bench-tape bench-allocs logins hostile crash crash-tape soak fuzz lint race fmt generate clean

# Time for each fuzz target, flags of the benchmark (BENCH=-h lists them).
FUZZTIME ?= 60s
BENCH    ?=
# How often `make crash` kills (500 times) and `make crash-tape` (2000), how long `make soak` works.
KILLS    ?=
SOAK     ?= 10m
# How targate itself is built for conformance and soak: BUILD=race, BUILD=invariants, or
# BUILD="race invariants".
BUILD    ?=
# Steps of `make test`, all by default: make test STEPS="format vet".
STEPS    ?=

# $(call figure,COMMAND) runs COMMAND and prints as the last line the figure that its
# tests reported.
define figure
	@f=$$(mktemp); trap 'rm -f "$$f"' EXIT; TARGATE_FIGURE=$$f $(1); tail -n 1 "$$f"
endef
empty :=
TARGATE := bin/targate$(subst $(empty) ,,$(addprefix -,$(BUILD)))
BUILDFLAGS := $(if $(filter race,$(BUILD)),-race) $(if $(filter invariants,$(BUILD)),-tags invariants)
# A test that is run for its figure is never taken from the cache.
SYSTEM := TARGATE=$(CURDIR)/$(TARGATE) go test -count=1 -v -tags system

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: build ## build targate and serve the embedded default on 127.0.0.1:3260 (Ctrl-C ends it)
	@exec $(TARGATE) demo

build: ## build bin/targate
	@go build $(BUILDFLAGS) -o $(TARGATE) ./cmd/targate

test: deps ## install what the tests need (Debian, root) and run everything that CI runs
	@go build -o bin/ci ./test/ci && bin/ci $(STEPS)

deps: ## install the Debian packages that the tests use
	@tools/deps.sh

conformance: build ## iscsi-test-cu, qemu-img, qemu-io and fio against targate
	$(call figure,$(SYSTEM) -timeout 40m ./test/conformance)

conformance-sam: build ## our own cases for SAM, SPC, SBC and iSCSI, over the wire
	$(call figure,$(SYSTEM) -timeout 15m ./test/sam)

conformance-tape: build ## the tape library on the wire: SSC, SMC, and what each client sends
	$(call figure,$(SYSTEM) -timeout 15m ./test/tape)

vm: build vm-image ## the Linux kernel initiator, in a user-mode-linux guest
	$(call figure,go test -count=1 -v -tags vm -timeout 8m ./test/vm/disk ./test/vm/multipath)

vm-tape: build vm-image ## mt, mtx, tar, stenc, sg3_utils, btape and Bacula on a library, in that guest
	$(call figure,go test -count=1 -v -tags vm -timeout 12m ./test/vm/tape)

vm-image: ## build the guest of `make vm` into the cache (quick when it is there)
	@test/vm/image.sh

bench: build ## speed, alternating with tgtd (flags: make bench BENCH="-targets -split -h")
	@go build -o bin/bench ./test/bench && TARGATE=$(TARGATE) bin/bench $(BENCH)

bench-tape: build ## speed of the tape library, alternating with tgtd's tape and with a disk
	@go build -o bin/bench ./test/bench && TARGATE=bin/targate bin/bench -tape $(BENCH)

bench-allocs: ## 0 allocations for each 4 KiB READ and WRITE, and each block of a tape
	@out=$$(go test -count=1 -v -run Alloc ./core/... ./gateway/... ./handlers/... ./vtl/ssc) || { echo "$$out"; exit 1; }; \
	grep -E '^(---|ok)' <<<"$$out" | grep -v 'no tests to run'; \
	echo "bench-allocs: 0 allocations for each 4 KiB READ and WRITE and each block of a tape in $$(grep -c '^--- PASS' <<<"$$out") tests"

logins: build ## 10,000 logins and 1,000 sessions at once: nothing is left behind
	$(call figure,$(SYSTEM) -timeout 10m -run '^TestLogins|^TestSessions' ./test/abuse)

hostile: build ## hostile peers leave the others at no less than half speed
	$(call figure,$(SYSTEM) -timeout 10m -run '^TestHostile' ./test/abuse)

crash: build ## KILLS (500) kill -9 at random instants, and a power loss at every step: nothing is lost or mixed
	@go test -count=1 -run PowerLoss ./gateway/manage/statedir
	$(call figure,$(SYSTEM) -timeout 30m -skip '^TestKillTape' ./test/crash -args -kills $(or $(KILLS),500))

crash-tape: build ## KILLS (2000) kill -9 of a tape library: no filemark, cartridge or place is lost
	$(call figure,$(SYSTEM) -timeout 60m -run '^TestKillTape' ./test/crash -args -kills $(or $(KILLS),2000))

soak: build ## everything at once for SOAK (10m) from 16 sessions against a model of the medium
	$(call figure,$(SYSTEM) -timeout 60m ./test/soak -args -duration $(SOAK))

fuzz: ## each fuzz target for FUZZTIME (60s)
	@test/fuzz.sh $(FUZZTIME)

lint: ## gofmt, vet, staticcheck, tidy modules, fresh generated files
	@go build -o bin/ci ./test/ci && bin/ci format vet staticcheck "modules tidy" "generated files fresh"

race: ## the unit tests under the race detector
	go test -race ./...

fmt: ## gofmt everything
	gofmt -l -w .

generate: ## write the generated files again
	go generate ./...

clean: ## remove what was built here, not the guest's image in the cache
	rm -rf bin
