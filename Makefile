# Targets say what they run; every one works on a machine with nothing but Go, make and git.

CONFIG   ?= examples/vxlan.json
NODES    ?= 3
FUZZTIME ?= 20s
BENCH    ?= .

# The race detector needs a C compiler.
RACE := $(if $(shell command -v $(shell go env CC) 2>/dev/null),-race)

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: build demo run test test-kernel test-docker lint bench fuzz oracle model soak docs packages packages-test clean

build:
	CGO_ENABLED=0 go build -trimpath -o bin/overlayd ./cmd/overlayd

demo: build
	bin/overlayd demo --config $(CONFIG) --nodes $(NODES)

run: build
	bin/overlayd run --config $(CONFIG)

test:
	$(if $(RACE),,@echo "no C compiler: testing without the race detector")
	go test $(RACE) -timeout 15m -parallel 3 ./...

# On Debian's kernel in a virtual machine, which has WireGuard, dummy, geneve, ipip, VLANs of bridges: the tests that need them, and some that
# compare with the kernel and the real tools. They are few, since the machine may be emulated.
IN_GUEST := OVERLAYD_ORACLE_LINES=60 CGO_ENABLED=0 go test -count 1 -timeout 6m -exec '$(CURDIR)/internal/guest/run -t 380'

test-kernel:
	internal/guest/kit bin/guest
	$(IN_GUEST) -run 'WireGuard|AnswerAlike|AnyLine|LinksAre|ManyKinds|TheTable|WhoSees|(WhatTheRealTools|NativeTwin)/wireguard|VLANs|UndoOnLinux/VLANs' \
	  ./builtin ./builtin/command ./builtin/internal/kernel ./internal/firewall
	$(IN_GUEST) -run '(TheDemoShows|ARestartOfANative|HooksThatWere)/wireguard|TheStatusTells|CookbookConnects/(geneve|gre|ipip)|TakesAway/wireguard:.*remove' \
	  ./cmd/overlayd
	$(IN_GUEST) -run KeysAreRotated ./cmd/overlayd

# With Debian's Docker, containerd and Podman, which are unpacked and not installed, one in each of two nodes.
test-docker:
	internal/docker/kit bin/docker
	PATH="$(CURDIR)/bin/docker/usr/sbin:$(CURDIR)/bin/docker/usr/bin:$$PATH" LD_LIBRARY_PATH="$(CURDIR)/bin/docker/lib" \
	  go test $(RACE) -count 1 -run 'OfDocker|OfContainerd|OfPodman' ./cmd/overlayd

lint:
	test -z "$$(gofmt -s -l . | tee /dev/stderr)"
	go vet ./...
	go run $(STATICCHECK) ./...
	go mod tidy -diff

bench:
	go test -run '^$$' -bench '$(BENCH)' -benchmem ./...

# What a real daemon keeps in memory for each of PEERS peers, by its resident size without and with them.
memory:
	OVERLAYD_PEERS=$(or $(PEERS),10000) go test -count 1 -run TestAPeersMemory -v ./cmd/overlayd

fuzz:
	@set -e; for package in $$(go list ./...); do \
	  for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
	    echo "$$package $$target"; go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package; \
	  done; done

# Compares thousands of random command lines, in-process and by the real tools. SEED repeats a run.
oracle:
	OVERLAYD_ORACLE_SEED=$(or $(SEED),$(shell date +%s)) OVERLAYD_ORACLE_LINES=6000 \
	  go test -count 1 -timeout 20m -run TestAnyLine -v ./builtin/command

# A million random histories of leases, checked against a model, a thousand on a real etcd, and many of hooks, on the Fake and on
# Linux: hours.
model:
	OVERLAYD_MODEL_CHECKS=1000000 go test -count 1 -timeout 0 -run TestNodesStayRight ./lease
	OVERLAYD_MODEL_SEQUENCES=1000 go test -count 1 -timeout 0 -run TestNodesStayRight ./lease/etcd
	OVERLAYD_MODEL_CHECKS=20000 OVERLAYD_KILLS=5000 go test -count 1 -timeout 0 \
	  -run 'TestScopesKeepTheirPromises|TestAPeerThatChanges|TestDamageOfAnyKind|TestKilledAtAnyMoment' ./builtin/internal/kernel

# Thirty rounds of the demo, up and down, that must leave nothing behind.
soak:
	OVERLAYD_SOAK=30 go test -count 1 -run RoundsOf ./cmd/overlayd

# Writes the reference of all commands, and man pages.
docs:
	UPDATE_SCRIPTS=1 go test -count 1 -run TestTheSchemasAreOfWhatIsPrinted ./cmd/overlayd
	$(MAKE) build
	bin/overlayd reference >docs/reference.md
	bin/overlayd reference --man bin/man

# Programs, debs, rpms and SBOMs of the commit that is checked out.
packages:
	internal/packaging/build dist

# As root: the packages on a Debian that systemd runs, and that a commit gives the same bytes in two directories.
packages-test: packages
	internal/packaging/check dist bin/packages
	internal/packaging/reproduce dist

clean:
	rm -rf bin dist
