package server

import (
	"bytes"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/golang/snappy"

	"qmq/protocol"
	"qmq/test/wire"
)

// TestDamagedChunkEndsTheConnection: what is behind it is not taken for what
// follows the good one.
func TestDamagedChunkEndsTheConnection(t *testing.T) {
	r := start(t)
	c := r.connect()
	negotiate(c, `"snappy":true`)
	raw := c.Conn
	useSnappy(c)
	c.Expect("OK")
	pack := func(command string) []byte {
		var packed bytes.Buffer
		w := snappy.NewBufferedWriter(&packed)
		io.WriteString(w, command)
		w.Flush()
		return packed.Bytes()
	}
	bad := pack(wire.Pub("t", "y"))
	bad[len(snappyStream)+4] ^= 1 // of the checksum
	all := slices.Concat(pack(wire.Pub("t", "x")), bad, pack(wire.Pub("t", "z")))
	if _, err := raw.Write(all); err != nil {
		t.Fatal(err)
	}
	c.Expect("OK")
	if _, data, err := c.AnyFrame(); err == nil {
		t.Errorf("got %q", data)
	}
	topic, _ := r.broker.Existing("t")
	if n := topic.Stats().MessageCount; n != 1 {
		t.Errorf("%d messages", n)
	}
}

func TestSessionOverAConnectionWithoutDescriptor(t *testing.T) {
	r := start(t)
	here, there := net.Pipe()
	r.tcp.start(here)
	c := newClient(t, there)
	defer c.Close()
	c.Send(protocol.Magic)
	c.Send(wire.Pub("t", "x"))
	c.Expect("OK")
	c.Send("SUB t ch\nRDY 1\n")
	c.Expect("OK")
	c.Message()
}

// TestAnnouncedSizesCostNothing: many connections announce all they may and
// send nothing of it.
func TestAnnouncedSizesCostNothing(t *testing.T) {
	const connections = 500
	r := start(t)
	before := heap()
	var clients []net.Conn // without what a test's client holds
	for i := range connections {
		c := r.connect(wire.Pub("t", "x"), [...]string{
			"PUB t\n" + wire.Size(1<<20),
			"MPUB t\n" + wire.Size(5<<20) + wire.Size(1048575),
			"IDENTIFY\n" + wire.Size(5<<20) + "{",
			"MPUB t\n" + wire.Size(5<<20) + wire.Size(2) + wire.Size(1<<20) + strings.Repeat("x", 1000),
		}[i%4])
		c.Expect("OK")
		clients = append(clients, c.Conn)
	}
	eventually(t, func() bool { return int64(heap())-int64(before) < connections*24<<10 })
	for _, c := range clients {
		c.Close()
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC() // the second one drops what pools have given up
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}
