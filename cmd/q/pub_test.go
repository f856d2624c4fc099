package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPubPublishesWhatItIsGiven(t *testing.T) {
	s := startServer(t)
	file := filepath.Join(t.TempDir(), "lines")
	if err := os.WriteFile(file, []byte("one\n\ntwo\nthree"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		input string
		args  []string
		want  int64
	}{
		{"a body", "", []string{"hello"}, 1},
		{"a body several times", "", []string{"hello", "--count=5"}, 5},
		{"lines of a file, empty ones not", "", []string{"-f", file}, 3},
		{"lines of the input", "a\nb\n", nil, 2},
		{"no more than so many", "a\nb\nc\n", []string{"--count=2"}, 2},
		{"another delimiter", "a;;b;c;;d", []string{"--delimiter=;;"}, 3},
		{"bytes of zero", "a\x00b\x00", []string{`--delimiter=\0`}, 2},
		{"all of the input", "a\nb\n", []string{"--whole"}, 1},
		{"nothing", "", nil, 0},
		{"objects", `{"body":"x"}` + "\n" + `{"body_base64":"AAE=","id":"ignored"}` + "\n", []string{"--json-lines"}, 2},
		{"many", numbered(5000), []string{"--batch=7"}, 5000},
		{"compressed", numbered(5000), []string{"--snappy"}, 5000},
		{"deflated", numbered(5000), []string{"--deflate=6"}, 5000},
	} {
		before := s.figures("t").MessageCount
		out := must(t, test.input, append([]string{"pub", "t", "--json", "--addr=" + s.tcp}, test.args...)...)
		if got := s.figures("t").MessageCount - before; got != test.want {
			t.Errorf("%s: %d messages, want %d; it says %s", test.name, got, test.want, out)
		}
	}
}

func TestPubKeepsBodiesAsTheyAre(t *testing.T) {
	s := startServer(t)
	s.post("/topic/create", "topic", "t")
	s.post("/channel/create", "topic", "t", "channel", "c")
	big := strings.Repeat("x", 700<<10)
	must(t, "a\r\n b \n"+big+"\n"+big+"\n\xff\xfe", "pub", "t", "--addr="+s.tcp)
	got := must(t, "", "sub", "t", "c", "--yes", "--count=5", "--addr="+s.tcp)
	if want := "a\r\n b \n" + big + "\n" + big + "\n\xff\xfe\n"; got != want {
		t.Errorf("%d bytes come back of %d", len(got), len(want))
	}
}

func TestPubDefers(t *testing.T) {
	s := startServer(t)
	s.post("/topic/create", "topic", "t")
	s.post("/channel/create", "topic", "t", "channel", "c")
	must(t, "", "pub", "t", "later", "--defer=1h", "--addr="+s.tcp)
	must(t, `{"body":"later","defer":"1h"}`+"\n"+`{"body":"now"}`, "pub", "t", "--json-lines", "--addr="+s.tcp)
	if c := s.figures("t").Channels[0]; c.Deferred != 2 || c.Depth != 1 {
		t.Errorf("%+v", c)
	}
}

func TestPubToSeveralNodes(t *testing.T) {
	a, b := startServer(t), startServer(t)
	addresses := "--addr=" + a.tcp + "," + b.tcp
	must(t, numbered(100), "pub", "spread", "--batch=10", addresses)
	if x, y := a.figures("spread").MessageCount, b.figures("spread").MessageCount; x != 50 || y != 50 {
		t.Errorf("in turn: %d and %d", x, y)
	}
	must(t, numbered(100), "pub", "all", "--to=all", addresses)
	if x, y := a.figures("all").MessageCount, b.figures("all").MessageCount; x != 100 || y != 100 {
		t.Errorf("to all: %d and %d", x, y)
	}
	// A node that is gone: another one takes its share, but not where all are wanted.
	gone := "--addr=" + a.tcp + ",127.0.0.1:1"
	must(t, numbered(100), "pub", "spread", "--batch=10", gone)
	if x := a.figures("spread").MessageCount; x != 150 {
		t.Errorf("with one node gone the other has %d", x)
	}
	wantRefusal(t, exitFailed, "cannot reach 127.0.0.1:1", "pub", "all", "x", "--to=all", gone)
}

func TestPubFindsNodesThroughADirectory(t *testing.T) {
	tcp, http := startDirectory(t)
	s := startServer(t, "--lookupd-tcp-address="+tcp)
	eventually(t, "the node is listed", func() bool {
		return q(t, "", "pub", "new", "x", "--lookupd="+http).code == exitOK
	})
	if n := s.figures("new").MessageCount; n != 1 {
		t.Errorf("%d messages", n)
	}
}

func TestPubSaysWhatIsWrong(t *testing.T) {
	s := startServer(t, "--max-msg-size=10")
	at := "--addr=" + s.tcp
	wantRefusal(t, exitFailed, "a name is up to 64 letters", "pub", "bad topic", "x", at)
	wantRefusal(t, exitFailed, "an empty message cannot be published", "pub", "t", "", at)
	wantRefusal(t, exitFailed, "message 1 not published: "+s.tcp+" refuses: E_BAD_MESSAGE PUB message too big 11 > 10; 0 messages OK'd", "pub", "t", "12345678901", at)
	wantRefusal(t, exitFailed, "no such file", "pub", "t", "-f", "/no/such/file", at)
	wantRefusal(t, exitFailed, "is a node running there?", "pub", "t", "x", "--addr=127.0.0.1:1")
	wantRefusal(t, exitFailed, "this is an HTTP port", "pub", "t", "x", "--addr="+s.http)
	wantRefusal(t, exitFailed, `"nowhere" is no address`, "pub", "t", "x", "--addr=nowhere")
	wantRefusal(t, exitFailed, "exclude each other", "pub", "t", "x", at, "--lookupd=127.0.0.1:1")
	wantRefusal(t, exitUsage, "--to", "pub", "t", "x", at, "--to=nobody")
	r := q(t, `{"body":"ok"}`+"\nno object\n", "pub", "t", "--json-lines", at)
	if r.code != exitFailed || !strings.Contains(r.errors, "line 2: not an object") || !strings.Contains(r.errors, "1 message OK'd") {
		t.Errorf("exit code %d, %s", r.code, r.errors)
	}
}

// TestPubStopsWithASignal: what was read is OK'd, the exit code says that there
// may be more.
func TestPubStopsWithASignal(t *testing.T) {
	s := startServer(t)
	read, write := io.Pipe()
	defer write.Close()
	r := begin(t, read, "pub", "t", "--addr="+s.tcp)
	io.WriteString(write, "one\ntwo\n")
	eventually(t, "they are published while the input is open", func() bool { return s.figures("t").MessageCount == 2 })
	if code := r.stop(); code != exitInterrupted || !strings.Contains(r.errors.String(), "interrupted; 2 messages OK'd by "+s.tcp) {
		t.Errorf("exit code %d, %s", code, r.errors)
	}
}
