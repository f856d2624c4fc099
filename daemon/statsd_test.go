package daemon

import (
	"net"
	"strings"
	"testing"
	"time"
)

func TestStatsdHearsFromNodeWithoutHTTP(t *testing.T) {
	statsd, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer statsd.Close()
	r := start(t, "--data-path="+t.TempDir(), "--tcp-address=127.0.0.1:0", "--http-address=", "--broadcast-address=n.q", "--broadcast-http-port=1",
		"--statsd-address="+statsd.LocalAddr().String(), "--statsd-interval=10ms")
	r.line("TCP: listening on ")
	statsd.SetReadDeadline(time.Now().Add(testTimeout))
	packet := make([]byte, 1000)
	n, _, err := statsd.ReadFrom(packet)
	if err != nil || !strings.HasPrefix(string(packet[:n]), "nsq.n_q_1.mem.heap_objects:") {
		t.Errorf("got %q, %v", packet[:n], err)
	}
	r.stop()
}
