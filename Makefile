# The targets are for people and for CI alike; CI calls .ci/run, and that these.

FUZZTIME ?= 30s
ENDURANCE ?= 1h

# In a tree that git does not trust (another owner's, say) or does not know, go
# build cannot stamp the commit, and would fail.
BUILDFLAGS := -trimpath $(shell git rev-parse -q --verify HEAD >/dev/null 2>&1 || echo -buildvcs=false)

.PHONY: help
help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

# The daemon needs cgo: PKCS#11 modules are C libraries. The client is one static
# file, for any CI image.
.PHONY: build
build: ## compile both programs into bin/
	@scripts/install-deps build
	CGO_ENABLED=1 go build $(BUILDFLAGS) -o bin/bundlesignd ./cmd/bundlesignd
	CGO_ENABLED=0 go build $(BUILDFLAGS) -o bin/bundlesign ./cmd/bundlesign

.PHONY: test
test: ## install what the tests need, then run all of them, with the race detector
	@scripts/install-deps test
	@go run ./scripts/gotest -race -count=1 -timeout 20m ./...

.PHONY: test-all
test-all: test ## the same, and what uses Vault with its newest release that can be built, too
	@go run ./backends/vault/vaulttest/build all >/dev/null
	@BUNDLESIGN_VAULT_VERSION=1.21.0 go run ./scripts/gotest -race -count=1 -timeout 20m ./backends/vault/...

.PHONY: endurance
endurance: ## have every backend fail at random under load, for an hour (or ENDURANCE)
	@scripts/install-deps test
	BUNDLESIGN_ENDURANCE=$(ENDURANCE) go test -count=1 -timeout 24h -v -run '^TestEndurance$$' ./cmd/bundlesignd

.PHONY: lint
lint: ## formatting, go vet, staticcheck
	@unformatted=$$(go tool gofumpt -l .) && [ -z "$$unformatted" ] || \
		{ echo "not formatted; run: go tool gofumpt -w ."; echo "$$unformatted"; exit 1; } >&2
	go vet ./...
	go tool staticcheck ./...

.PHONY: bench
bench: ## run the benchmarks
	@scripts/install-deps test
	go test -run '^$$' -bench . -benchmem -timeout 2h ./...

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (30s)
	@FUZZTIME=$(FUZZTIME) scripts/fuzz

.PHONY: demo
demo: build ## sign a bundle end to end with a daemon of its own; leaves everything in demo/
	@scripts/demo

.PHONY: man
man: ## write the manual pages of both programs into man/
	@scripts/install-deps build
	@CGO_ENABLED=0 go run -trimpath -buildvcs=false ./cmd/bundlesign man man >/dev/null
	@CGO_ENABLED=1 go run -trimpath -buildvcs=false ./cmd/bundlesignd man man >/dev/null
	@echo "man/ has $$(ls man | wc -l) manual pages; see one with: man -l man/bundlesign.1"

.PHONY: clean
clean: ## remove what the other targets made
	rm -rf bin demo man interop/node_modules interop/nodejs/node_modules interop/.install.lock examples/ci/tools/gitlab-ci-local/node_modules
