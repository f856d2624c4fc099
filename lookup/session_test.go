package lookup

import (
	"io"
	"log/slog"
	"maps"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"qmq/internal/address"
	"qmq/protocol"
)

// TestErrorsAreExactAndFatal holds the texts over a socket: the parser's own
// tests have all of them.
func TestErrorsAreExactAndFatal(t *testing.T) {
	d := openDirectory(t)
	const missing = "E_BAD_BODY IDENTIFY missing fields"
	identify := func(body string) string {
		return string(protocol.AppendLookupCommand(nil, &protocol.LookupCommand{Kind: protocol.LookupIdentify, Body: []byte(body)}))
	}
	for _, test := range []struct{ sent, want string }{
		{"NO\n", "E_INVALID invalid command NO"},
		{"\n", "E_INVALID invalid command "},
		{"REGISTER t\n", "E_INVALID client must IDENTIFY"},
		{"UNREGISTER t\n", "E_INVALID client must IDENTIFY"},
		{strings.Repeat("x", 20000), "E_INVALID command line too long"},
		{identify(""), "E_BAD_BODY IDENTIFY failed to decode JSON body"},
		{identify("{"), "E_BAD_BODY IDENTIFY failed to decode JSON body"},
		{identify(`{"broadcast_address":"a","tcp_port":"1","http_port":1,"version":"1"}`), "E_BAD_BODY IDENTIFY failed to decode JSON body"},
		{identify("{}"), missing},
		{identify("null"), missing},
		{identify(`{"broadcast_address":"","tcp_port":1,"http_port":1,"version":"1"}`), missing},
		{identify(`{"broadcast_address":"a","tcp_port":0,"http_port":1,"version":"1"}`), missing},
		{identify(`{"broadcast_address":"a","tcp_port":1,"version":"1"}`), missing},
		{identify(`{"broadcast_address":"a","tcp_port":1,"http_port":1}`), missing},
		{"IDENTIFY\n\xff\xff\xff\xff", "E_BAD_BODY IDENTIFY invalid body size -1"},
		{"IDENTIFY\n\x7f\xff\xff\xff", "E_BAD_BODY IDENTIFY body too big 2147483647 > 65536"},
	} {
		n := d.dial()
		n.send(protocol.LookupMagic + "PING\n" + test.sent)
		n.reply("OK")
		n.reply(test.want)
		n.ended()
	}
	for _, test := range []struct{ sent, want string }{
		{identifyAs("b"), "E_INVALID cannot IDENTIFY again"},
		{"REGISTER\n", "E_INVALID REGISTER insufficient number of params"},
		{"UNREGISTER\n", "E_INVALID UNREGISTER insufficient number of params"},
		{"REGISTER *\n", "E_BAD_TOPIC REGISTER topic name '*' is not valid"},
		{"UNREGISTER t #ephemeral\n", "E_BAD_CHANNEL UNREGISTER channel name '#ephemeral' is not valid"},
	} {
		n := d.join("a")
		n.send(test.sent)
		n.reply(test.want)
		n.ended()
	}
	d.want("/topics", `{"topics":[]}`)
}

func TestWrongMagicIsRefused(t *testing.T) {
	d := openDirectory(t)
	for _, magic := range []string{"  V2", "GET / HTTP/1.1\r\n\r\n"} {
		n := d.dial()
		n.send(magic)
		n.reply("E_BAD_PROTOCOL")
		n.ended()
	}
}

func TestStreamThatEndsWithinIdentifyIsToldSo(t *testing.T) {
	d := openDirectory(t)
	for sent, want := range map[string]string{
		"IDENTIFY\n\x00":              "E_BAD_BODY IDENTIFY failed to read body size",
		"IDENTIFY\n\x00\x00\x00\x09{": "E_BAD_BODY IDENTIFY failed to read body",
	} {
		n := d.dial()
		n.send(protocol.LookupMagic + sent)
		n.Conn.(*net.TCPConn).CloseWrite()
		n.reply(want)
		n.ended()
	}
	n := d.dial()
	n.send(protocol.LookupMagic + "PIN")
	n.Conn.(*net.TCPConn).CloseWrite()
	n.ended()
}

func TestFatalErrorTakesTheProducerAwayAndIsReadThoughThePeerStillSends(t *testing.T) {
	d := openDirectory(t)
	n := d.join("a")
	n.tell("REGISTER t")
	n.send("NO\n" + strings.Repeat("REGISTER u\n", 50_000))
	n.reply("E_INVALID invalid command NO")
	d.want("/nodes", `{"producers":[]}`)
	d.want("/topics", `{"topics":["t"]}`)
	n.ended()
}

func TestPipelinedCommandsAreAnsweredInOrder(t *testing.T) {
	d := openDirectory(t)
	n := d.dial()
	var sent strings.Builder
	sent.WriteString(protocol.LookupMagic + "PING\n" + identifyAs("a"))
	const count = 20_000
	for range count {
		sent.WriteString("REGISTER t c\n")
	}
	sent.WriteString("REGISTER *\n")
	go io.WriteString(n, sent.String())
	n.reply("OK")
	n.reply(`{"broadcast_address":"here","hostname":"host","http_port":4161,"tcp_port":4160,"version":"2.0.0"}`)
	for range count {
		n.reply("OK")
	}
	n.reply("E_BAD_TOPIC REGISTER topic name '*' is not valid")
	n.ended()
}

func TestRegistrationsEndWithTheConnection(t *testing.T) {
	d := openDirectory(t)
	a, b := d.join("a"), d.join("b")
	a.tell("REGISTER t c", "REGISTER t e#ephemeral", "REGISTER only", "REGISTER x#ephemeral c")
	b.tell("REGISTER t c", "REGISTER t shared#ephemeral")
	a.tell("REGISTER t shared#ephemeral")
	d.want("/channels?topic=t", `{"channels":["c","e#ephemeral","shared#ephemeral"]}`)
	a.leave()
	if hosts := d.hosts("t"); hosts != "b" {
		t.Errorf("t is at %q", hosts)
	}
	d.want("/topics", `{"topics":["only","t"]}`)
	d.want("/channels?topic=t", `{"channels":["c","shared#ephemeral"]}`)
	d.want("/channels?topic=x%23ephemeral", `{"channels":[]}`)
	d.want("/lookup?topic=only", `{"channels":[],"producers":[]}`)
}

func TestRestartForgetsEverythingAndNodesMayComeBack(t *testing.T) {
	d := openDirectory(t)
	n := d.join("a")
	n.tell("REGISTER t c")
	d.tcp.Close()
	n.ended()
	l, err := net.Listen("tcp", d.address) // the port is free at once
	if err != nil {
		t.Fatal(err)
	}
	d.db = NewDB(d.db.o)
	d.serve(l)
	d.want("/topics", `{"topics":[]}`)
	n = d.join("a")
	n.tell("REGISTER t c")
	if hosts := d.hosts("t"); hosts != "a" {
		t.Errorf("t is at %q", hosts)
	}
}

// TestPeerThatStopsReadingHarmsNobody: it fills its own connection and no more.
func TestPeerThatStopsReadingHarmsNobody(t *testing.T) {
	d := openDirectory(t)
	deaf := d.join("deaf")
	flooded := make(chan error)
	go func() {
		chunk := strings.Repeat("REGISTER t\n", 10_000)
		for {
			if _, err := io.WriteString(deaf, chunk); err != nil {
				flooded <- err
				return
			}
		}
	}()
	n := d.join("a")
	for range 1000 {
		n.tell("REGISTER t", "UNREGISTER t")
		d.hosts("t")
	}
	d.tcp.Close() // it waits for no peer either
	if err := <-flooded; err == nil {
		t.Error("the flood had no end")
	}
}

// TestFloodOfStrangersTakesLittleMemory: connections that say nothing, or
// announce much, hold small buffers only.
func TestFloodOfStrangersTakesLittleMemory(t *testing.T) {
	d := openDirectory(t)
	const count = 500
	before := liveBytes()
	for i := range count {
		switch n := d.dial(); i % 3 {
		case 1:
			n.send(protocol.LookupMagic + "PING\nIDENTIFY\n\x00\x00\xff\xff{")
			n.reply("OK")
		case 2:
			n.send(protocol.LookupMagic + "PING\nREGISTER")
			n.reply("OK")
		}
	}
	n := d.join("a") // it was accepted after all the others
	if per := (liveBytes() - before) / count; per > 12<<10 {
		t.Errorf("%d bytes a connection", per)
	}
	n.tell("REGISTER t", "PING")
}

func liveBytes() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// pipe is a session whose clock is that of a synctest bubble.
func pipe(t *testing.T) (peer net.Conn, tcp *TCP) {
	o := Options{Logger: slog.New(slog.DiscardHandler)}
	tcp = NewTCP(NewDB(DBOptions{InactiveTimeout: time.Minute, TombstoneLifetime: time.Minute}), o)
	peer, own := net.Pipe()
	tcp.start(own)
	t.Cleanup(func() {
		peer.Close()
		tcp.Close()
	})
	return peer, tcp
}

// age is how long the directory keeps a connection open.
func age(peer net.Conn) time.Duration {
	start := time.Now()
	io.Copy(io.Discard, peer)
	return time.Since(start)
}

func TestStrangersMayBeSilentForAMinute(t *testing.T) {
	for _, said := range []string{"", "  V", "  V1", "  V1PING\nPI", "  V1IDENTIFY\n\x00\x00\x00\x09{"} {
		synctest.Test(t, func(t *testing.T) {
			peer, _ := pipe(t)
			go io.WriteString(peer, said)
			if got := age(peer); got != time.Minute {
				t.Errorf("after %q it lasts %s", said, got)
			}
		})
	}
}

func TestStrangersWhoTalkButDoNotIdentifyAreNotWaitedFor(t *testing.T) {
	for _, said := range []string{"x", "PING\n"} {
		synctest.Test(t, func(t *testing.T) {
			peer, _ := pipe(t)
			go io.Copy(io.Discard, peer)
			start := time.Now()
			_, err := io.WriteString(peer, protocol.LookupMagic)
			for err == nil && time.Since(start) < time.Hour {
				<-time.After(time.Second)
				_, err = io.WriteString(peer, said)
			}
			if got := time.Since(start); got > time.Minute+time.Second {
				t.Errorf("with %q it lasts %s", said, got)
			}
		})
	}
}

func TestSilentProducerStaysConnectedAndIsHidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer, tcp := pipe(t)
		go io.WriteString(peer, protocol.LookupMagic+identifyAs("a")+"REGISTER t\n")
		for range 2 {
			if _, err := protocol.ReadLookupReply(peer, 1000); err != nil {
				t.Fatal(err)
			}
		}
		<-time.After(24 * time.Hour)
		if answer, ok := tcp.db.lookup("t", address.Asker{}); !ok || len(answer.Producers) != 0 || len(tcp.db.nodes("", address.Asker{})) != 0 {
			t.Errorf("%v %+v", ok, answer)
		}
		go io.WriteString(peer, "PING\n")
		if _, err := protocol.ReadLookupReply(peer, 1000); err != nil {
			t.Fatal(err)
		}
		if answer, _ := tcp.db.lookup("t", address.Asker{}); len(answer.Producers) != 1 || len(tcp.db.nodes("", address.Asker{})) != 1 {
			t.Errorf("%+v", answer)
		}
	})
}

func TestPeerThatReadsNothingLosesItsRegistrations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer, tcp := pipe(t)
		io.WriteString(peer, protocol.LookupMagic+identifyAs("a"))
		synctest.Wait()
		if len(tcp.db.nodes("", address.Asker{})) != 1 {
			t.Fatal("not identified")
		}
		<-time.After(writeTimeout + time.Second)
		synctest.Wait()
		if len(tcp.db.producerList()) != 0 {
			t.Error("it is still there")
		}
	})
}

// TestLongIdentifyIsTakenAndItsRoomGivenBack: keys that nobody knows may make
// it long, and commands may follow at once.
func TestLongIdentifyIsTakenAndItsRoomGivenBack(t *testing.T) {
	d := openDirectory(t)
	body := `{"broadcast_address":"a","tcp_port":1,"http_port":2,"version":"1","unknown":"` + strings.Repeat("x", 60_000) + `"}`
	n := d.dial()
	n.send(protocol.LookupMagic + string(protocol.AppendLookupCommand(nil,
		&protocol.LookupCommand{Kind: protocol.LookupIdentify, Body: []byte(body)})) + "REGISTER t\nPIN")
	n.reply(`{"broadcast_address":"here","hostname":"host","http_port":4161,"tcp_port":4160,"version":"2.0.0"}`)
	n.reply("OK")
	n.send("G\n")
	n.reply("OK")
	if hosts := d.hosts("t"); hosts != "a" {
		t.Errorf("t is at %q", hosts)
	}
	d.tcp.mu.Lock()
	sessions := slices.Collect(maps.Keys(d.tcp.sessions))
	d.tcp.mu.Unlock()
	d.tcp.Close() // from here on the session is at rest
	if len(sessions) != 1 || len(sessions[0].in) != minInput {
		t.Errorf("%d sessions", len(sessions))
	}
}
