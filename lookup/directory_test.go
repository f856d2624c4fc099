package lookup

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"qmq/internal/names"
	"qmq/protocol"
)

// testTimeout bounds every wait of the directory's tests; nothing that works takes
// as long.
const testTimeout = time.Minute

// handClock is a clock that tests move.
type handClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *handClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *handClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// directory is a TCP server and an HTTP API over one DB.
type directory struct {
	t       *testing.T
	db      *DB
	tcp     *TCP
	http    *HTTP
	address string // of the TCP server
	clock   *handClock
	options Options
}

// openDirectory serves on a port of its own until the end of the test. The
// clock stands still.
func openDirectory(t *testing.T) *directory {
	t.Helper()
	return openDirectoryWith(t, Options{BroadcastAddress: "here", Hostname: "host", TCPPort: 4160, HTTPPort: 4161})
}

// openDirectoryWith is openDirectory with other options; without a logger it
// logs nothing.
func openDirectoryWith(t *testing.T, o Options) *directory {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	d := &directory{t: t, clock: &handClock{now: time.Unix(1_700_000_000, 0)}}
	d.db = NewDB(DBOptions{InactiveTimeout: 5 * time.Minute, TombstoneLifetime: 45 * time.Second, Now: d.clock.Now})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d.address = l.Addr().String()
	d.options = o
	d.serve(l)
	return d
}

func (d *directory) serve(l net.Listener) {
	d.tcp, d.http = NewTCP(d.db, d.options), NewHTTP(d.db, d.options)
	served := make(chan error, 1)
	go func() { served <- d.tcp.Serve(l) }()
	d.t.Cleanup(func() {
		d.tcp.Close()
		if err := <-served; err != nil {
			d.t.Error(err)
		}
		d.check()
	})
}

// check compares the DB's indexes with one another.
func (d *directory) check() {
	if err := d.db.check(); err != nil {
		d.t.Errorf("the DB is broken: %v", err)
	}
}

// check tells what the indexes of a DB at rest contradict one another in.
func (d *DB) check() error {
	if err := d.checkProducers(); err != nil {
		return err
	}
	for i := range d.parts {
		for name, e := range d.parts[i].topics.all {
			if e.name != name || d.shardOf(name) != &d.parts[i] || e.shard != &d.parts[i] {
				return fmt.Errorf("topic %s is in the wrong place", name)
			}
			if names.IsEphemeral(name) && len(e.registrations) == 0 && len(e.channels.all) == 0 && e.registrations != nil {
				return fmt.Errorf("topic %s keeps the memory of its registrations", name)
			}
			users := make(map[*channelEntry]int)
			for i, r := range e.registrations {
				if r.index != i || r.producer.topics.all[e] != r {
					return fmt.Errorf("registration %d of topic %s is lost", i, name)
				}
				if _, there := d.producers.all[r.producer]; !there {
					return fmt.Errorf("topic %s has a producer that has left", name)
				}
				for _, c := range r.channels {
					if users[c]++; e.channels.all[c.name] != c {
						return fmt.Errorf("a registration has channel %s:%s, which is gone", name, c.name)
					}
				}
			}
			for _, c := range e.channels.all {
				if users[c] != c.producers {
					return fmt.Errorf("channel %s:%s counts %d producers of %d", name, c.name, c.producers, users[c])
				}
			}
		}
	}
	for p := range d.producers.all {
		for e, r := range p.topics.all {
			if e.shard.topics.all[e.name] != e || r.index >= len(e.registrations) || e.registrations[r.index] != r {
				return fmt.Errorf("%s has topic %s, which does not have it", p.node, e.name)
			}
		}
	}
	return nil
}

// request asks the HTTP API and returns status and body.
func (d *directory) request(method, target string) (status int, body string) {
	w := httptest.NewRecorder()
	d.http.ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w.Code, w.Body.String()
}

// want asks the HTTP API for exactly this body.
func (d *directory) want(target, want string) {
	d.t.Helper()
	if status, body := d.request("GET", target); status != http.StatusOK || body != want {
		d.t.Errorf("%s: %d %s\nwant %s", target, status, body, want)
	}
}

func (d *directory) post(target string) {
	d.t.Helper()
	if status, body := d.request("POST", target); status != http.StatusOK || body != "" {
		d.t.Errorf("%s: %d %s", target, status, body)
	}
}

// hosts are the broadcast addresses that a lookup of topic gives.
func (d *directory) hosts(topic string) string {
	d.t.Helper()
	_, body := d.request("GET", "/lookup?topic="+strings.ReplaceAll(topic, "#", "%23"))
	var answer LookupAnswer
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		d.t.Fatal(body, err)
	}
	var hosts []string
	for _, p := range answer.Producers {
		hosts = append(hosts, p.BroadcastAddress)
	}
	return strings.Join(hosts, " ")
}

// nodeConn is a node's connection to the directory.
type nodeConn struct {
	t *testing.T
	net.Conn
}

// dial connects without saying anything.
func (d *directory) dial() *nodeConn {
	d.t.Helper()
	conn, err := net.Dial("tcp", d.address)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(testTimeout))
	return &nodeConn{d.t, conn}
}

// identifyAs is an IDENTIFY of a node at that host.
func identifyAs(host string) string {
	body, _ := json.Marshal(Identity{
		Hostname: "h", BroadcastAddress: host, TCPPort: 1, HTTPPort: 2, Version: "1.3.0", TopologyZone: "z", TopologyRegion: "r"})
	return string(protocol.AppendLookupCommand(nil, &protocol.LookupCommand{Kind: protocol.LookupIdentify, Body: body}))
}

// join connects a node that has identified itself.
func (d *directory) join(host string) *nodeConn {
	d.t.Helper()
	n := d.dial()
	n.send(protocol.LookupMagic + identifyAs(host))
	n.reply(`{"broadcast_address":"here","hostname":"host","http_port":4161,"tcp_port":4160,"version":"2.0.0"}`)
	return n
}

// joinAs is join with more of the node's identity, to a directory that may say
// anything of itself.
func (d *directory) joinAs(host, hostname string, tcp, http int) *nodeConn {
	d.t.Helper()
	body, _ := json.Marshal(Identity{Hostname: hostname, BroadcastAddress: host, TCPPort: tcp, HTTPPort: http, Version: "1.3.0"})
	n := d.dial()
	n.send(protocol.LookupMagic + identifyWith(string(body)))
	if _, err := protocol.ReadLookupReply(n, 1<<20); err != nil {
		d.t.Fatal(err)
	}
	return n
}

func (n *nodeConn) send(text string) {
	n.t.Helper()
	if _, err := io.WriteString(n, text); err != nil {
		n.t.Fatal(err)
	}
}

// reply waits for exactly this reply.
func (n *nodeConn) reply(want string) {
	n.t.Helper()
	got, err := protocol.ReadLookupReply(n, 1<<20)
	if err != nil || string(got) != want {
		n.t.Fatalf("got %q, %v, want %q", got, err, want)
	}
}

// tell sends commands, each of which is answered OK.
func (n *nodeConn) tell(commands ...string) {
	n.t.Helper()
	for _, c := range commands {
		n.send(c + "\n")
		n.reply("OK")
	}
}

// ended waits for the directory to close the connection.
func (n *nodeConn) ended() {
	n.t.Helper()
	if b, err := io.ReadAll(n); err != nil || len(b) > 0 {
		n.t.Fatalf("got %q, %v instead of the end", b, err)
	}
}

// leave ends the connection and waits until the directory has closed it too:
// by then it has taken the node from the DB.
func (n *nodeConn) leave() {
	n.t.Helper()
	if err := n.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		n.t.Fatal(err)
	}
	n.ended()
}

// checkProducers compares what a DB remembers of producers in two places.
func (d *DB) checkProducers() error {
	hidden, announced := 0, 0
	for i := range d.parts {
		for n, producers := range d.parts[i].hidden {
			for p := range producers {
				if _, there := d.producers.all[p]; !there {
					return fmt.Errorf("%v is remembered for a producer that has left", n)
				}
				if _, knows := p.hidden[n]; !knows {
					return fmt.Errorf("%v is remembered for a producer that does not know", n)
				}
				hidden++
			}
		}
	}
	for a, list := range d.announced.all {
		for _, p := range list {
			if _, there := d.producers.all[p]; !there {
				return fmt.Errorf("%s is announced by a producer that has left", a)
			}
			announced++
		}
	}
	for p := range d.producers.all {
		hidden -= len(p.hidden)
	}
	if hidden != 0 || announced != 2*len(d.producers.all) {
		return fmt.Errorf("%d hidden names, %d announcements too many", hidden, announced-2*len(d.producers.all))
	}
	return nil
}
