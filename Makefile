GO ?= go
KILLS ?= 20
MESSAGES ?= 5000000
CUTS ?= 20
BINDIR ?= bin
DISTDIR ?= dist
SOAKTIME ?= 30m
FUZZTIME ?= 1m
SESSIONFUZZTIME ?= 10m
SEEDS ?= 10000
FAULTS ?= 200
FAULTRATE ?= 3500

# How many packages are tested at a time: those with real daemons mostly wait.
AT_A_TIME = 4
# How long the tests of one package may take: the machine may have other work.
TIMEOUT = 30m
# Packages whose tests run under the race detector; make race has all of them do so.
CONCURRENT = ./admin/... ./api ./broker ./channel ./cluster/link ./diskqueue ./internal/... ./journal ./lookup ./raftlog ./relay ./replica/machine ./replica/serve ./server/... ./topic

.PHONY: build run test browser check race bench bench-compare bench-growth bench-set fuzz sim crash crash-replicated powercut soak dist dist-verify vulncheck web-vendor install-nsq-names clean

build: ## all binaries into bin/
	$(GO) build -o bin/ ./cmd/... ./examples/...

run: build ## all daemons on the default ports, with their data in data/
	bin/q dev --data-path=data

test: browser ## the tests, all of them
	$(GO) test -p $(AT_A_TIME) -timeout $(TIMEOUT) ./...

browser: ## Chromium for the tests of the page: installed, by root, where there is none
	@for name in chromium chromium-browser google-chrome google-chrome-stable chrome; do command -v $$name >/dev/null && exit 0; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "The tests of the page need a browser and there is none: installing chromium with apt-get."; \
		apt-get update -q && apt-get install -y -q --no-install-recommends chromium; \
	else \
		echo "The tests of the page need a browser and there is none. Install Chromium: sudo apt-get install chromium (Debian), sudo dnf install chromium (Fedora), brew install chromium (macOS)."; \
		exit 1; \
	fi

check: browser ## everything that must hold before a change lands
	$(GO) vet ./...
	test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	$(GO) tool staticcheck ./...
	$(GO) test -p $(AT_A_TIME) -timeout $(TIMEOUT) ./...
	$(GO) test -race -timeout $(TIMEOUT) $(CONCURRENT)

race: browser ## everything under the race detector: takes half an hour
	$(GO) test -race -timeout $(TIMEOUT) ./...

bench: build ## the benchmarks, of the packages and of the daemon over loopback; of its rows those that match ROWS
	$(GO) test -run '^$$' -bench . ./channel ./diskqueue ./journal ./message ./protocol ./server/stream ./topic
	$(GO) run ./tools/benchdoc table --qd=bin/qd --pairs=1 $(if $(ROWS),--rows='$(ROWS)')

bench-compare: build ## qd beside NSQD=path, into docs/bench-compare.md and .json
	$(GO) run ./tools/benchdoc table --qd=bin/qd --nsqd=$(NSQD) --out=docs/bench-compare.json --markdown=docs/bench-compare.md

bench-growth: build ## how cost grows, into docs/performance.md and its chart
	$(GO) run ./tools/benchdoc growth --qd=bin/qd --markdown=docs/performance.md --svg=docs/img/growth.svg

bench-set: build ## three nodes that keep the same topics beside an unreplicated one; of its rows those that match ROWS
	$(GO) run ./tools/benchdoc set --qd=bin/qd --pairs=3 $(if $(ROWS),--rows='$(ROWS)')

fuzz: ## each fuzz target for FUZZTIME, whole sessions for SESSIONFUZZTIME
	$(GO) test -fuzz FuzzCommandStream -fuzztime $(FUZZTIME) ./protocol
	$(GO) test -fuzz FuzzMpub -fuzztime $(FUZZTIME) ./protocol
	$(GO) test -fuzz FuzzIdentify -fuzztime $(FUZZTIME) ./protocol
	$(GO) test -fuzz FuzzLookupCommandStream -fuzztime $(FUZZTIME) ./protocol
	$(GO) test -run '^$$' -fuzz 'FuzzSession$$' -fuzztime $(SESSIONFUZZTIME) -fuzzminimizetime 10x ./server
	$(GO) test -run '^$$' -fuzz 'FuzzConnection$$' -fuzztime $(FUZZTIME) ./server
	$(GO) test -run '^$$' -fuzz FuzzParseRecords -fuzztime $(FUZZTIME) -fuzzminimizetime 10x ./diskqueue
	$(GO) test -run '^$$' -fuzz FuzzDecode -fuzztime $(FUZZTIME) -fuzzminimizetime 10x ./replica/entry
	$(GO) test -run '^$$' -fuzz FuzzStage -fuzztime $(FUZZTIME) -fuzzminimizetime 10x ./replica/machine
	$(GO) test -run '^$$' -fuzz FuzzRecordReadsBack -fuzztime $(FUZZTIME) ./cmd/q
	$(GO) test -fuzz FuzzTOML -fuzztime $(FUZZTIME) -fuzzminimizetime 10x ./config

sim: ## sets of replicas in virtual time with every fault, SEEDS of them
	$(GO) test -count=1 -timeout 60m -v -run 'TestSimulation(OfWholeNodes|OfServedTopics)?$$' ./replica -args -seeds=$(SEEDS)

crash: ## kill -9 at KILLS random moments, MESSAGES messages, nothing lost
	$(GO) test -count=1 -timeout 30m -v ./test/crash -args -kills=$(KILLS) -messages=$(MESSAGES)

crash-replicated: ## FAULTS real faults of a set of three under load: kills, stops, partitions, wiped and full disks; nothing lost; needs namespaces of Linux
	$(GO) test -count=1 -timeout 120m -v ./test/crashset -args -isolated -faults=$(FAULTS) -rate=$(FAULTRATE)

powercut: ## the power of an ext4 image cut CUTS times under load, and a full one; nothing synced lost; needs Linux and root
	$(GO) test -count=1 -timeout 60m -v ./test/powercut -args -cuts=$(CUTS)

soak: ## three nodes for SOAKTIME under churn, restarts and drains: nothing lost, nothing grows
	$(GO) test -count=1 -timeout 0 -v ./test/soak -args -for=$(SOAKTIME)

web-vendor: ## fetch the page's libraries again from the npm registry, pinned
	admin/web/vendor.sh

dist: ## archives for all systems, with checksums and lists of what is in them (SBOM), into DISTDIR; of systems those in TARGETS
	$(GO) run ./tools/dist --out=$(DISTDIR) $(if $(TARGETS),--targets='$(TARGETS)')

dist-verify: ## the same, built twice, the second time from another place with an empty cache: the same bytes
	$(GO) run ./tools/dist --verify --out=$(DISTDIR) $(if $(TARGETS),--targets='$(TARGETS)')

vulncheck: ## known vulnerabilities that the programs reach; GOVULNDB=file:///DIR for a copy of the database
	@GO=$(GO) tools/vulncheck.sh ./...

install-nsq-names: ## links in BINDIR under which its q is each of NSQ's utilities
	for name in nsq_tail nsq_stat nsq_to_file nsq_to_http nsq_to_nsq to_nsq; do ln -sf q $(BINDIR)/$$name || exit 1; done

clean: ## what was built
	rm -rf bin $(DISTDIR)
