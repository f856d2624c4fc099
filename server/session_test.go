package server

import (
	"io"
	"net"
	"testing"
	"time"

	"qmq/server/stream"
	"qmq/test/wire"
)

func TestDeliveryAsksForNoLargerBufferThanItLatelyNeeded(t *testing.T) {
	size := nextDeliverySize(stream.ReadBuffer, 3<<20)
	if size != maxDeliveryBuffer {
		t.Errorf("%d bytes after a very long one", size)
	}
	for range 10 {
		size = nextDeliverySize(size, 100)
	}
	if size != stream.ReadBuffer {
		t.Errorf("%d bytes after many short ones", size)
	}
}

// FuzzConnection sends arbitrary bytes, in two pieces: nothing may panic, hang or
// be left behind.
func FuzzConnection(f *testing.F) {
	const id = "0123456789abcdef"
	for _, seed := range []string{
		"", "  V2", "  V1", "  V2\n",
		"  V2" + wire.Pub("t", "x") + wire.MPub("t", "a", "b") + wire.DPub("t", 1, "x"),
		"  V2" + wire.Identify(`{"feature_negotiation":true,"heartbeat_interval":-1}`) + "SUB t ch\n",
		"  V2SUB t ch\nRDY 5\nFIN " + id + "\nREQ " + id + " 1\nTOUCH " + id + "\nCLS\nNOP\n" + wire.Pub("t", "x"),
		"  V2SUB t#ephemeral ch#ephemeral\nRDY\n" + wire.Pub("t#ephemeral", "x"),
		"  V2MPUB t\n" + wire.Size(5<<20) + wire.Size(1048575),
		"  V2AUTH\n" + wire.Sized("x"),
	} {
		f.Add([]byte(seed), 7)
	}
	f.Fuzz(func(t *testing.T, sent []byte, cut int) {
		r := start(t)
		here, there := net.Pipe()
		r.tcp.start(here)
		go io.Copy(io.Discard, there)
		cut = min(max(cut, 0), len(sent))
		there.SetWriteDeadline(time.Now().Add(testTimeout))
		for _, piece := range [][]byte{sent[:cut], sent[cut:]} {
			if _, err := there.Write(piece); err != nil {
				break // it was closed for what it said
			}
		}
		there.Close()
		eventually(t, func() bool { return len(r.tcp.all()) == 0 })
	})
}
