# make demo   the whole thing on this machine
# make test   every test
# make help   the rest

SHELL := /bin/bash
GO ?= go
GOLANGCI_VERSION := v2.12.0
TOOLS := $(CURDIR)/.tools
GOLANGCI := $(TOOLS)/bin/golangci-lint-$(GOLANGCI_VERSION)
FUZZTIME ?= 30s

# The linter's cache names files by path and outlives a checkout: each has its own.
export GOLANGCI_LINT_CACHE := $(TOOLS)/cache
ROUNDS ?= 10
CRASHES ?= 3000

.PHONY: help build install demo test check bench stress chaos clean deps tools fmt

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-8s %s\n", $$1, $$2}'

build: ## build bin/mirrorfs
	$(GO) build -trimpath -o bin/mirrorfs ./cmd/mirrorfs

install: ## install mirrorfs with go install
	$(GO) install -trimpath ./cmd/mirrorfs

deps: ## install redis-server and fuse3 where missing (Debian, root)
	@.ci/deps

demo: deps build ## two sites on this machine, a real tree mirrored and compared
	bin/mirrorfs demo $(DEMO_ARGS)

test: ## run every test; installs the programs that they use
	@.ci/deps test
	@GO=$(GO) .ci/test

check: tools ## format, vet, lint, tidy, and in CI a clean tree
	$(GOLANGCI) fmt --diff
	$(GO) vet ./...
	$(GOLANGCI) run
	$(GO) mod tidy -diff
	@if [ "$$CI" = true ] && [ -n "$$(git status --porcelain)" ]; then echo "the tree is not clean:"; git status --short; exit 1; fi

fmt: tools ## format every Go file
	$(GOLANGCI) fmt

tools: $(GOLANGCI) ## build the linter into .tools

# The linter is a tool, not a dependency: it stays out of go.mod.
$(GOLANGCI):
	GOFLAGS= GOBIN=$(TOOLS)/bin $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv $(TOOLS)/bin/golangci-lint $@

bench: deps build ## measure this machine: one table, each row beside the local disk
	bin/mirrorfs bench $(BENCH_ARGS)

stress: ## random tests again and again with new seeds, then every fuzz target
	@.ci/deps test
	MIRRORFS_LONG=1 $(GO) test -race -count=$(ROUNDS) -timeout 3h ./meta/... ./object/... ./chunk/... ./vfs ./mirror/...
	MIRRORFS_LONG=1 $(GO) test -count=$(ROUNDS) -timeout 3h -run TestBytes ./vfs/vfstest ./vfs/fuse
	$(GO) test -count=$(ROUNDS) -timeout 3h ./integration/...
	MIRRORFS_LONG=1 $(GO) test -count=1 -timeout 12h -skip '^TestCrashes$$' ./integration/...
	MIRRORFS_ROUNDS=$(CRASHES) $(GO) test -count=1 -timeout 24h -run '^TestCrashes$$' ./integration
	@for p in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	    echo "fuzz $$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p || exit 1; \
	  done; \
	done

chaos: ## sites under cuts, crashes and wrong commands, ROUNDS times with new seeds, for hours
	@.ci/deps test
	MIRRORFS_LONG=1 MIRRORFS_ROUNDS=$(ROUNDS) $(GO) test -v -count=1 -timeout 24h -run TestChaos ./integration/chaos

clean: ## remove what was built
	rm -rf bin .tools
