# make help lists what there is.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  ?= $(shell git rev-parse --short HEAD 2>/dev/null)
LDFLAGS := -X main.version=$(VERSION) -X main.commit=$(COMMIT)

KILLS   ?= 1000

export CGO_ENABLED = 1
# SQLite: a commit syncs the data and not the file's times, which saves a
# journalling file system a transaction of its own; no count of its memory.
export CGO_CFLAGS ?= -O2 -g -DHAVE_FDATASYNC=1 -DSQLITE_DEFAULT_MEMSTATUS=0

.PHONY: help build deb run test bench fleet crash fmt vet clean
.DEFAULT_GOAL := help

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## leave bin/gatewayd; installs a C compiler if there is none
	@scripts/ensure compiler
	go build -trimpath -buildvcs=false -ldflags "$(LDFLAGS)" -o bin/gatewayd ./cmd/gatewayd

deb: ## dist/*.deb for amd64, arm64 and armhf, with SBOMs and SHA256SUMS
	@scripts/deb

run: build ## start gatewayd demo: simulated modems, no hardware needed
	bin/gatewayd demo --env demo.env

test: ## everything that CI checks; installs what it needs on a Debian machine with Go
	@scripts/check

bench: ## the benchmarks, as ratios against a floor measured in the same run
	@scripts/ensure compiler
	go run -buildvcs=false ./bench

fleet: build ## a hub with 1,000 light gateways and 100 messages for each: time and memory
	go run -buildvcs=false ./e2e/lightgw -binary bin/gatewayd

crash: ## the crash laboratory: 1,000 kills, and nothing lost; KILLS=10000 for more
	@scripts/ensure compiler
	go build -buildvcs=false -o bin/crash ./crash
	bin/crash -kills $(KILLS) -record .

fmt: ## gofmt everything
	gofmt -w .

vet: ## go vet, the end-to-end tests too
	go vet -tags e2e,modemmanager ./...

clean: ## remove what was built and downloaded here
	rm -rf bin dist .cache
