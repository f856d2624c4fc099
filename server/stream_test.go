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
)

// TestDamagedChunkEndsTheConnection: what is behind it is not taken for what
// follows the good one.
func TestDamagedChunkEndsTheConnection(t *testing.T) {
	r := start(t)
	c := r.connect()
	c.negotiate(`"snappy":true`)
	raw := c.Conn
	c.snappy()
	c.expect("OK")
	pack := func(command string) []byte {
		var packed bytes.Buffer
		w := snappy.NewBufferedWriter(&packed)
		io.WriteString(w, command)
		w.Flush()
		return packed.Bytes()
	}
	bad := pack(pub("t", "y"))
	bad[len(snappyStream)+4] ^= 1 // of the checksum
	all := slices.Concat(pack(pub("t", "x")), bad, pack(pub("t", "z")))
	if _, err := raw.Write(all); err != nil {
		t.Fatal(err)
	}
	c.expect("OK")
	if _, data, err := c.tryFrame(); err == nil {
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
	c := &client{t, there}
	defer c.Close()
	c.send(protocol.Magic)
	c.send(pub("t", "x"))
	c.expect("OK")
	c.send("SUB t ch\nRDY 1\n")
	c.expect("OK")
	c.message()
}

// TestAnnouncedSizesCostNothing: many connections announce all they may and
// send nothing of it.
func TestAnnouncedSizesCostNothing(t *testing.T) {
	const connections = 500
	r := start(t)
	before := heap()
	var clients []*client
	for i := range connections {
		c := r.connect(pub("t", "x"), [...]string{
			"PUB t\n" + size(1<<20),
			"MPUB t\n" + size(5<<20) + size(1048575),
			"IDENTIFY\n" + size(5<<20) + "{",
			"MPUB t\n" + size(5<<20) + size(2) + size(1<<20) + strings.Repeat("x", 1000),
		}[i%4])
		c.expect("OK")
		clients = append(clients, c)
	}
	eventually(t, func() bool { return int64(heap())-int64(before) < connections*16<<10 })
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
