package server

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"qmq/test/node"
	"qmq/test/wire"
)

// exhausted is a listener that finds no free descriptor for a while.
type exhausted struct {
	accepts int
	closed  chan struct{}
	once    sync.Once
}

func (l *exhausted) Accept() (net.Conn, error) {
	l.accepts++
	select {
	case <-l.closed:
		return nil, net.ErrClosed
	default:
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
}

func (l *exhausted) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *exhausted) Addr() net.Addr { return &net.TCPAddr{} }

func TestAcceptorBacksOffWithoutDescriptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		o := DefaultOptions()
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		server := NewTCP(nil, o)
		l := &exhausted{closed: make(chan struct{})}
		served := make(chan error)
		go func() { served <- server.Serve(l) }()
		<-time.After(10 * time.Second) // of the bubble's clock
		synctest.Wait()
		// 5, 10, 20 … 640 ms, then once a second.
		if l.accepts < 15 || l.accepts > 18 {
			t.Errorf("%d accepts in 10 s", l.accepts)
		}
		if lines := strings.Count(log.String(), "\n"); lines < 8 || lines > 11 {
			t.Errorf("%d lines in 10 s:\n%s", lines, log.String())
		}
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

func TestServeAfterCloseServesNothing(t *testing.T) {
	server := NewTCP(nil, DefaultOptions())
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Serve(l); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Accept(); err == nil {
		t.Error("the listener is still open")
	}
}

func TestCloseEndsAllGoroutines(t *testing.T) {
	b := node.Open(t)
	base := runtime.NumGoroutine()
	r := startOn(t, b)
	var clients []*wire.Conn
	for i := range 40 {
		clients = append(clients, r.consume("t", fmt.Sprintf("ch%d", i%4), 5))
	}
	p := r.connect(wire.MPub("t", "1", "2", "3", "4", "5", "6"))
	p.Expect("OK")
	r.dial()                                     // silent
	r.connect("PUB t\n" + wire.Size(100) + "ab") // in the middle of a command
	if err := r.tcp.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return runtime.NumGoroutine() <= base })
	if n := len(r.tcp.all()); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
	for _, c := range clients {
		for {
			if _, _, err := c.AnyFrame(); err != nil {
				break
			}
		}
	}
}

// TestCloseAnswersWhatItCarriedOut: every OK stands for a stored message, and
// what is stored but not OK'd is at most what was on its way.
func TestCloseAnswersWhatItCarriedOut(t *testing.T) {
	r := start(t)
	const publishers = 8
	oks := make([]uint64, publishers)
	var ready, done sync.WaitGroup
	ready.Add(publishers)
	for i := range publishers {
		c := r.connect()
		go func() {
			for {
				if _, err := c.Write([]byte(wire.Pub("t", "x") + wire.Pub("t", "y"))); err != nil {
					return
				}
			}
		}()
		done.Go(func() {
			for {
				_, data, err := c.AnyFrame()
				if err != nil {
					return
				}
				if data == "OK" {
					if oks[i]++; oks[i] == 100 {
						ready.Done()
					}
				}
			}
		})
	}
	ready.Wait()
	if err := r.tcp.Close(); err != nil {
		t.Fatal(err)
	}
	done.Wait()
	var total uint64
	for _, n := range oks {
		total += n
	}
	topic, _ := r.broker.Existing("t")
	if stored := topic.Stats().MessageCount; total > stored {
		t.Errorf("%d OKs for %d stored messages", total, stored)
	}
}
