package daemon

import (
	"bytes"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"qmq/internal/version"
	"qmq/protocol"
)

func TestQLookupdServesUntilToldToStop(t *testing.T) {
	r := launch(t, QLookupd, "-tcp-address=127.0.0.1:0", "-http-address=127.0.0.1:0", "-broadcast-address=here")
	r.line("[qlookupd] ")
	tcp := r.line("INFO: TCP: listening on ")
	web := r.line("INFO: HTTP: listening on ")
	conn, err := net.Dial("tcp", tcp)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(testTimeout))
	io.WriteString(conn, protocol.LookupMagic+"IDENTIFY\n\x00\x00\x00\x45"+
		`{"broadcast_address":"node","tcp_port":1,"http_port":2,"version":"1"}`+"REGISTER t c\n")
	_, tcpPort, _ := net.SplitHostPort(tcp)
	_, webPort, _ := net.SplitHostPort(web)
	identity, err := protocol.ReadLookupReply(conn, 1000)
	if err != nil || !strings.HasPrefix(string(identity), `{"broadcast_address":"here","hostname":"`) ||
		!strings.HasSuffix(string(identity), `","http_port":`+webPort+`,"tcp_port":`+tcpPort+`,"version":"`+version.Number+`"}`) {
		t.Fatalf("IDENTIFY is answered %s, %v", identity, err)
	}
	if reply, err := protocol.ReadLookupReply(conn, 1000); err != nil || string(reply) != "OK" {
		t.Fatalf("REGISTER is answered %s, %v", reply, err)
	}
	if got := get(t, web, "/topics"); got != `{"topics":["t"]}` {
		t.Errorf("topics: %s", got)
	}
	if got := get(t, web, "/config/tombstone_lifetime"); got != "45000000000" {
		t.Errorf("the tombstone lifetime is %s ns", got)
	}
	if got := ask(t, "PUT", web, "/config/log_level", "debug"); got != "2" && got != "1" {
		t.Errorf("the level is %s", got)
	}
	io.WriteString(conn, "REGISTER u\n")
	r.line("DEBUG: registered ")

	second := launch(t, QLookupd, "--tcp-address=127.0.0.1:0", "--http-address="+web)
	second.line("FATAL: failed to start qlookupd - listen (" + web + ") failed - ")
	if code := second.exitCode(); code != exitFailed {
		t.Errorf("a second one exits with %d", code)
	}

	r.signals <- syscall.SIGTERM
	r.line("INFO: bye")
	if code := r.exitCode(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

func TestQLookupdSaysItsVersionAndItsMistakes(t *testing.T) {
	for _, test := range []struct {
		arg  string
		exit int
		says string
	}{
		{"--version", exitOK, "qlookupd v" + version.Number + " (built w/go"},
		{"--help", exitOK, "Usage: qlookupd [flags]\n"},
		{"--tcp-address=nowhere", exitFailed, "FATAL: failed to start qlookupd - --tcp-address must be host:port"},
		{"--nonsense", exitUsage, "--nonsense"},
	} {
		var out bytes.Buffer
		if code := Main(QLookupd, []string{"qlookupd", test.arg}, &out, &out, nil); code != test.exit || !strings.Contains(out.String(), test.says) {
			t.Errorf("%s: exit code %d\n%s", test.arg, code, &out)
		}
	}
}
