package semantics

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"path"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"qmq/api"
	"qmq/broker"
	"qmq/cluster"
	"qmq/internal/vfs"
	"qmq/internal/vfs/crashfs"
	"qmq/server"
	"qmq/test/process"
)

// testTimeout bounds every wait of the tests; nothing that works takes as long.
const testTimeout = process.Timeout

// options are those of a node's lives.
type options struct {
	broker broker.Options
	server server.Options
	api    func(*api.Options) // changes those that follow from server; may be nil
}

// node is a broker with its servers on ports of their own. It can be stopped
// or killed and opened again on the same disk.
type node struct {
	t     *testing.T
	o     options
	disk  *crashfs.FS   // nil when the node is on a real disk
	mount func() vfs.FS // of one life

	broker  *broker.Broker // nil while the node is down
	tcp     *server.TCP
	http    *api.HTTP
	served  chan error
	address string // of TCP
	web     string // URL of HTTP
	client  *http.Client

	set    *set // nil: it is in none
	number int  // in that
	member *cluster.Set
}

// start runs a node on a disk in memory until the end of the test.
func start(t *testing.T, change ...func(*options)) *node {
	t.Helper()
	if throughFollower(t) {
		return startFollower(t, change)
	}
	return startSeeded(t, 0, change...)
}

// startSeeded is start with a seed for what a crash leaves to chance.
func startSeeded(t *testing.T, seed int, change ...func(*options)) *node {
	t.Helper()
	disk := crashfs.New(uint64(seed))
	n := &node{t: t, disk: disk, mount: disk.Mount}
	n.o.broker.DataPath = "/data"
	return n.begin(change)
}

// startOnDisk runs a node in a directory of its own: its memory is its own
// memory only.
func startOnDisk(t *testing.T, change ...func(*options)) *node {
	t.Helper()
	n := &node{t: t, mount: func() vfs.FS { return vfs.OS }}
	n.o.broker.DataPath = t.TempDir()
	return n.begin(change)
}

func (n *node) begin(change []func(*options)) *node {
	n.t.Helper()
	n.o.broker.NodeID = 5
	n.o.broker.SegmentBytes = 4 << 20
	n.o.broker.HotBytes = 16 << 20
	n.o.broker.MemQueueSize = 10000
	n.o.broker.SyncEvery = 2500
	n.o.broker.SyncTimeout = 2 * time.Second
	n.o.broker.MaxMsgTimeout = 15 * time.Minute
	n.o.broker.MaxReqTimeout = time.Hour
	n.o.broker.Logger = slog.New(slog.DiscardHandler)
	n.o.server = server.DefaultOptions()
	for _, c := range change {
		c(&n.o)
	}
	if err := n.mount().MkdirAll(n.o.broker.DataPath); err != nil {
		n.t.Fatal(err)
	}
	n.open()
	n.t.Cleanup(func() {
		if n.broker != nil {
			n.stop()
		}
	})
	return n
}

// open begins a life.
func (n *node) open() {
	n.t.Helper()
	n.o.broker.FS = n.mount()
	if n.set != nil {
		n.member = n.set.member(n)
		n.o.broker.Replicas = n.member
	}
	b, err := broker.Open(n.o.broker)
	if err != nil {
		n.t.Fatal(err)
	}
	tcp, web := listen(n.t), listen(n.t)
	n.broker = b
	if n.set != nil {
		n.enter()
	}
	n.tcp = server.NewTCP(b, n.o.server)
	ao := api.OptionsFor(&n.o.server)
	ao.Ports = api.Ports{TCP: api.PortOf(tcp.Addr()), HTTP: api.PortOf(web.Addr())}
	if n.o.api != nil {
		n.o.api(&ao)
	}
	n.http = api.NewHTTP(api.NewFigures(b, n.tcp, nil), ao)
	n.address, n.web = tcp.Addr().String(), "http://"+web.Addr().String()
	n.client = &http.Client{
		Transport:     &http.Transport{},
		Timeout:       testTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	n.served = make(chan error, 2)
	go func() { n.served <- n.tcp.Serve(tcp) }()
	go func() { n.served <- n.http.Serve(web) }()
	if n.set != nil && n.set.whole {
		n.set.awaitFollower()
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// stop ends the node in good order, as the daemon does.
func (n *node) stop() {
	n.t.Helper()
	for _, err := range n.end() {
		if err != nil {
			n.t.Error(err)
		}
	}
}

// kill ends the process: what it does from now on reaches no disk. What it
// says of that is of no interest.
func (n *node) kill() {
	n.disk.Kill()
	n.end()
}

// cutPower ends the process and loses what was not synced.
func (n *node) cutPower() {
	n.disk.Crash(crashfs.DropAll)
	n.end()
}

func (n *node) end() []error {
	n.client.CloseIdleConnections()
	errs := []error{n.tcp.Close()}
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	errs = append(errs, n.http.Close(ctx), <-n.served, <-n.served)
	if n.set != nil {
		n.member.Stop()
	}
	errs = append(errs, n.broker.Close())
	n.broker = nil
	return errs
}

// restart stops the node and opens it again.
func (n *node) restart() {
	n.t.Helper()
	n.stop()
	n.open()
}

// endings are the ways from one life to the next that lose nothing OK'd.
var endings = []struct {
	name string
	end  func(*node)
}{
	{"clean stop", (*node).stop},
	{"kill", (*node).kill},
}

// awaitIdle waits until what the channels know now is in the journal, which lags
// a moment behind. It makes changes of its own and sees them written, twice:
// the second write began after this call. Of a node that follows it is the leader
// who knows: once it has answered, it has all that was said before.
func (n *node) awaitIdle() {
	n.t.Helper()
	n.connect().Publish("settle", "x")
	k := n.consume("settle", "ch", 1)
	defer k.Close()
	for range 2 {
		before := n.journalBytes()
		k.Req(k.Message(), 0)
		if n.set != nil {
			continue
		}
		process.Eventually(n.t, "a write of the journal", func() bool { return n.journalBytes() != before })
	}
}

// topicDirs are the directories of the topics of a node in memory.
func (n *node) topicDirs() (list []string) {
	for _, f := range n.disk.Files() {
		dir, base := path.Split(f.Name)
		if strings.HasSuffix(base, ".seg") {
			list = append(list, dir)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func (n *node) journalBytes() (sum int64) {
	for _, f := range n.disk.Files() {
		if strings.HasPrefix(f.Name, n.o.broker.DataPath+"/journal/") {
			sum += f.Size
		}
	}
	return sum
}

// heap is how many bytes are reachable.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what pools held the first time
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
