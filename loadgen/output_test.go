package loadgen

import (
	"bytes"
	"io"
	"net"
	"testing"
)

// sentBy is what arrives of a number of commands of a load.
func sentBy(t *testing.T, l Load, shares bool, commands int) []byte {
	t.Helper()
	listener := listen(t)
	defer listener.Close()
	there, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	here, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	e := newEncoder(&l, "t", "", newBodies(7, l.Body), 3)
	e.shares = shares
	go func() {
		defer there.Close()
		c := newConn(there)
		var o output
		for i := range commands {
			e.append(&o, uint64(i*l.Batch))
			if i%3 == 2 { // several commands in a write, and writes after one another
				if err := o.send(c); err != nil || o.len() != 0 {
					t.Errorf("%d bytes are left, %v", o.len(), err)
				}
			}
		}
		if err := o.send(c); err != nil {
			t.Error(err)
		}
	}()
	all, err := io.ReadAll(here)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestBodiesThatAreNotCopiedArriveAsThoseThatAre(t *testing.T) {
	for _, l := range []Load{
		{Batch: 1, Body: longBody},
		{Batch: 1, Body: MinBody},
		{Batch: 5, Body: 40_000},
		{Batch: 700, Body: longBody}, // more pieces than the kernel takes at once
	} {
		copied, shared := sentBy(t, l, false, 7), sentBy(t, l, true, 7)
		if len(copied) < 7*l.Batch*l.Body || !bytes.Equal(copied, shared) {
			t.Errorf("batches of %d × %d: %d bytes copied, %d not, or different ones", l.Batch, l.Body, len(copied), len(shared))
		}
	}
}

func TestOnlyLongBodiesOnPlainConnectionsAreNotCopied(t *testing.T) {
	for _, test := range []struct {
		load   Load
		shares bool
	}{
		{Load{Body: longBody}, true},
		{Load{Body: longBody - 1}, false},
		{Load{Body: longBody, HTTP: true}, true},
		{Load{Body: longBody, Encoding: Encoding{TLS: true}}, false},
		{Load{Body: longBody, Encoding: Encoding{Snappy: true}}, false},
	} {
		l := test.load.withDefaults()
		if e := newEncoder(&l, "t", "", newBodies(1, l.Body), 0); e.shares != test.shares {
			t.Errorf("%s: shares %v", l, e.shares)
		}
	}
}

func TestCommandsGoToTheTopicsInTurn(t *testing.T) {
	l := Load{Topics: 3, Batch: 2, Body: MinBody}
	e := newEncoder(&l, "t", "", newBodies(1, l.Body), 0)
	for command, topic := range []string{"t-0", "t-1", "t-2", "t-0"} {
		var o output
		e.append(&o, uint64(command*l.Batch))
		if want := "MPUB " + topic + "\n"; !bytes.HasPrefix(o.own, []byte(want)) {
			t.Errorf("command %d begins with %q, want %q", command, o.own[:len(want)], want)
		}
	}
}
