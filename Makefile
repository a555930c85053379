# make help lists what can be done. Every target works in a fresh clone; packages that are missing get installed.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help deps build run test chaos lint bench demo package test-package generate fmt clean

# Further build tags, such as crashpoints.
TAGS ?=
# Semantic, as NATS asks of a service: 1.2.3-4-gabc after a tag, 0.0.0-dev+abc before the first.
version := $(shell { git describe --always --dirty --tags 2>/dev/null || echo unknown; } | sed -E 's/^v([0-9]+\.)/\1/; t; s/^/0.0.0-dev+/')
ldflags := -X main.version=$(version)
# Expanded when a recipe runs: librbd may only just have been installed.
comma := ,
go_tags = $(or $(shell scripts/ceph-tag),$(error scripts/ceph-tag failed, see above))$(if $(TAGS),$(comma)$(TAGS))
lint_tool = $(CURDIR)/bin/tools/golangci-lint

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps:
	@scripts/install-deps

build: deps ## bin/volumed and bin/volumectl; TAGS=crashpoints for the named points at which it can be killed
	go build -tags '$(go_tags)' -ldflags '$(ldflags)' -o bin/volumed ./cmd/volumed
	CGO_ENABLED=0 go build -ldflags '$(ldflags)' -o bin/volumectl ./cmd/volumectl

run: build ## one-node Ceph and volumed with two RBD backends, in the foreground; Ctrl-C stops all
	@scripts/run

test: deps ## every test, with the race detector, on real Ceph, PostgreSQL and NATS; every method killed at every crash point
	scripts/with-cluster go test -race -count=1 -timeout 30m -tags '$(go_tags)' ./...

chaos: deps ## every method killed at every crash point three times, 2,000 random kills, 10,000 requests through a bad network, a bus away for minutes; best on an idle machine
	scripts/with-cluster env VOLUMED_TEST_KILLS=2000 VOLUMED_TEST_PLACES=4 VOLUMED_TEST_REQUESTS=10000 VOLUMED_TEST_OUTAGE=180 \
		VOLUMED_TEST_RELOADS=400 VOLUMED_TEST_DEATHS=1000 \
		go test -count=1 -timeout 120m -run '^Test(RandomKills|ExactlyOnce|BusAway|ReloadUnderLoad|SupervisorDoesNotGrow)$$' -tags '$(go_tags)' ./e2e
	scripts/with-cluster env VOLUMED_TEST_MATRIX=3 go test -count=3 -timeout 90m -run '^TestMatrix$$' -tags '$(go_tags)' ./e2e

lint: deps ## formatting, vet, golangci-lint, shellcheck, go.mod
	@scripts/install-deps --lint
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not formatted; make fmt:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	go vet -tags '$(go_tags)' ./...
	$(lint_tool) run --build-tags '$(go_tags)' ./...
	shellcheck -x $$(git ls-files scripts etc/package) .ci/run
	go mod tidy -e -diff

bench: build ## each figure beside its floor, measured in the same run
	go run -tags '$(go_tags)' ./bench

demo: build ## a tour on real Ceph that checks every claim from outside
	@scripts/demo

package: deps ## .deb and .rpm in dist, with units, manual pages and completions
	@scripts/install-deps --package
	@scripts/package '$(version)'

test-package: deps ## the packages: lintian, systemd, then install, serve, upgrade and purge in a fresh Debian; takes root
	@scripts/install-deps --package
	@scripts/test-package '$(version)'

generate: ## generated files: JSON Schemas, the sample configuration, tables in docs
	go generate ./...

fmt: ## gofumpt and the order of imports
	@scripts/install-deps --lint
	$(lint_tool) fmt

clean: ## what was built and left behind; stops a cluster that make run or make demo left running
	@scripts/devcluster down .run/ceph
	@scripts/devcluster down .dev/demo/ceph
	rm -rf bin dist .run .dev
