package stream

import (
	"bytes"
	stdflate "compress/flate"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang/snappy"

	"qmq/internal/budget"
)

// ends are a Conn and its client, over TCP.
func ends(t *testing.T, o Options) (*Conn, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	socket, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c := new(Conn)
	c.Init(socket, o)
	t.Cleanup(func() {
		c.Release()
		c.Close()
		client.Close()
	})
	return c, client
}

// certificate is one that is its own root.
func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// flushed is a client's side of a compression.
type flushed struct {
	io.Reader
	w interface {
		io.Writer
		Flush() error
	}
}

func (f flushed) Write(b []byte) (int, error) {
	n, err := f.w.Write(b)
	return n, errors.Join(err, f.w.Flush())
}

func withSnappy(conn io.ReadWriter) io.ReadWriter {
	return flushed{snappy.NewReader(conn), snappy.NewBufferedWriter(conn)}
}

func withDeflate(conn io.ReadWriter) io.ReadWriter {
	w, _ := stdflate.NewWriter(conn, 6)
	return flushed{stdflate.NewReader(conn), w}
}

// TestEachLayerCarriesBothDirections, alone and over TLS: writes of all sizes arrive
// as they were, and are let go of.
func TestEachLayerCarriesBothDirections(t *testing.T) {
	config := &tls.Config{Certificates: []tls.Certificate{certificate(t)}}
	for _, layers := range [][]string{{}, {"TLS"}, {"snappy"}, {"deflate"}, {"TLS", "snappy"}, {"TLS", "deflate"}} {
		c, socket := ends(t, Options{MaxCommand: 8 << 20})
		socket.SetDeadline(time.Now().Add(time.Minute)) // nothing that works takes as long
		var client io.ReadWriter = socket
		for _, layer := range layers {
			switch layer {
			case "TLS":
				encrypted := tls.Client(socket, &tls.Config{InsecureSkipVerify: true})
				shaken := make(chan error)
				go func() { shaken <- encrypted.Handshake() }()
				if err := errors.Join(c.StartTLS(config), <-shaken); err != nil {
					t.Fatal(err)
				}
				client = encrypted
			case "snappy":
				c.StartSnappy()
				client = withSnappy(client)
			default:
				c.StartDeflate(6)
				client = withDeflate(client)
			}
		}
		if _, ok := c.TLS(); ok != slices.Contains(layers, "TLS") {
			t.Errorf("%v: TLS is %v", layers, ok)
		}
		echoed := make(chan error, 1)
		go func() { echoed <- echo(c) }()
		for _, piece := range chunks() {
			written := make(chan error, 1)
			go func() {
				_, err := client.Write(piece)
				written <- err
			}()
			got := make([]byte, len(piece))
			if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, piece) {
				t.Fatalf("%v: %d bytes came as others, %v", layers, len(piece), err)
			}
			if err := <-written; err != nil {
				t.Fatal(err)
			}
		}
		socket.Close()
		if err := <-echoed; err == nil {
			t.Errorf("%v: no end", layers)
		}
		if n := c.In.Unfinished(); n != 0 {
			t.Errorf("%v: %d bytes are left", layers, n)
		}
	}
}

// echo sends back what comes until it ends.
func echo(c *Conn) error {
	for {
		if err := c.In.Fill(); err != nil {
			return err
		}
		b := bytes.Clone(c.In.Bytes())
		c.In.Consume(len(b))
		c.In.Expect(len(b), 0)
		if err := c.Out.Write(b); err != nil {
			return err
		}
	}
}

func TestRefusedHandshakeIsAnError(t *testing.T) {
	c, client := ends(t, Options{MaxCommand: 1 << 20})
	go client.Write([]byte("PUB t\n"))
	if err := c.StartTLS(&tls.Config{Certificates: []tls.Certificate{certificate(t)}}); err == nil {
		t.Error("what is no TLS is taken for it")
	}
}

// TestTriedWritesWaitForNobody: what the client does not take is sent before all
// that follows.
func TestTriedWritesWaitForNobody(t *testing.T) {
	c, client := ends(t, Options{MaxCommand: 1 << 20})
	if !c.Out.CanTry() || !c.Out.TryLock() {
		t.Fatal("it cannot be tried")
	}
	if c.Out.TryLock() {
		t.Fatal("two may write at a time")
	}
	long := bytes.Repeat([]byte("0123456789abcdef"), 1<<20) // more than both ends hold
	all, err := c.Out.TryWrite(long)
	if all || err != nil {
		t.Fatal(all, err)
	}
	if all, err := c.Out.TryWrite([]byte("behind")); all || err != nil {
		t.Fatal(all, err)
	}
	c.Out.Unlock()
	flushed := make(chan error, 1)
	go func() { flushed <- errors.Join(c.Out.Flush(), c.Out.Write([]byte("last"))) }()
	got := make([]byte, len(long)+len("behindlast"))
	if _, err := io.ReadFull(client, got); err != nil || string(got[len(long):]) != "behindlast" || !bytes.Equal(got[:len(long)], long) {
		t.Errorf("%q, %v", got[len(long):], err)
	}
	if err := <-flushed; err != nil {
		t.Error(err)
	}
	c.StartSnappy()
	if c.Out.CanTry() {
		t.Error("a layer can be tried")
	}
}

// TestWritesEndWithAClientThatTakesNothing, and not with one that is slow.
func TestWritesEndWithAClientThatTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		c := new(Conn)
		c.Init(here, Options{MaxCommand: 1 << 20})
		c.Out.SetTimeout(time.Second)
		go func() {
			for range 10 { // a byte in less than the timeout
				time.Sleep(900 * time.Millisecond) // of the bubble's clock
				there.Read(make([]byte, 1))
			}
		}()
		began := time.Now()
		err := c.Out.Write([]byte("twenty bytes of text"))
		if took := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || took < 9*time.Second || took > 12*time.Second {
			t.Errorf("%v after %v", err, took)
		}
		if again := c.Out.Write([]byte("x")); again != err {
			t.Errorf("then %v", again)
		}
		c.Close()
		there.Close()
	})
}

func TestReadsEndAtTheirDeadline(t *testing.T) {
	c, _ := ends(t, Options{MaxCommand: 1 << 20})
	c.SetReadDeadline(time.Unix(1, 0))
	if err := c.In.Fill(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

// TestLastWordsCanBeRead: what the client still sends resets nothing.
func TestLastWordsCanBeRead(t *testing.T) {
	c, client := ends(t, Options{MaxCommand: 1 << 20})
	go func() {
		client.Write(make([]byte, 1<<20))
		client.(*net.TCPConn).CloseWrite()
	}()
	if err := c.Out.Write([]byte("last")); err != nil {
		t.Fatal(err)
	}
	if !c.CloseWrite() {
		t.Fatal("it cannot be told")
	}
	c.Drain()
	c.Close()
	if got, err := io.ReadAll(client); string(got) != "last" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	here, _ := net.Pipe()
	c.Init(here, Options{})
	if c.CloseWrite() {
		t.Error("half of a pipe is closed")
	}
}

// TestWhatIsUnfinishedWaitsForMemory, until somebody gives some back or nobody is to
// wait any more.
func TestWhatIsUnfinishedWaitsForMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := make(chan struct{})
		shared := budget.New(1 << 20)
		var other, second budget.Claim
		other.From(shared)
		second.From(shared)
		other.Set(900 << 10)
		second.Set(1)
		here, there := net.Pipe()
		var c Conn
		c.Init(here, Options{MaxCommand: 8 << 20, Unfinished: shared, Stop: stop})
		go there.Write(make([]byte, 4<<10))
		if err := c.In.Fill(); err != nil {
			t.Fatal(err)
		}
		waits := func() chan error {
			done := make(chan error, 1)
			go func() { done <- c.In.Reserve(512 << 10) }()
			synctest.Wait()
			select {
			case err := <-done:
				t.Fatalf("it does not wait: %v", err)
			default:
			}
			return done
		}
		done := waits()
		other.Set(0)
		if err := <-done; err != nil {
			t.Error(err)
		}
		c.In.Unreserve()
		other.Set(1000 << 10)
		done = waits()
		close(stop)
		if err := <-done; err != ErrStopping {
			t.Error(err)
		}
		c.In.Unreserve()
		if c.In.Consumed() || c.In.Unfinished() != 4<<10 {
			t.Errorf("consumed before, or %d bytes unfinished", c.In.Unfinished())
		}
		c.In.Consume(4 << 10)
		if !c.In.Consumed() || c.In.Consumed() {
			t.Error("what was consumed is not told once")
		}
		c.Release()
		if err := c.In.WaitForSpace(); err != nil {
			t.Error(err)
		}
		here.Close()
		there.Close()
	})
}
