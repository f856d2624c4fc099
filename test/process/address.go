package process

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
)

var tried atomic.Int64

// FreeAddress is a TCP address on this machine that nothing listens on now.
//
// Its port lies below those that the system hands out by itself, to outgoing
// connections and to listeners on port 0. So nobody takes it between this call
// and the start of the daemon that it is for, nor while that daemon is down to
// be started again; and no call returns one a second time, nor does one in
// another process while this one is there.
func FreeAddress() (string, error) {
	const first, last = 10_000, 32_767 // Linux hands out 32,768 and up
	const each = 64                    // processes that run together begin this far from one another
	var err error
	for range 1000 {
		n := os.Getpid()*each + int(tried.Add(1))
		address := fmt.Sprintf("127.0.0.1:%d", first+n%(last-first+1))
		if err = claims.take(address); err == nil {
			return address, nil
		}
	}
	return "", err
}

// claims are what this process has of the ports that it was given.
var claims claimed

// claimed tells processes which ports others were given: each holds the UDP port of the
// number, which no daemon uses, until it ends.
type claimed struct {
	mu   sync.Mutex // guards held
	held []io.Closer
}

// take claims an address that nothing listens on.
func (c *claimed) take(address string) error {
	claim, err := net.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return errors.Join(err, claim.Close())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = append(c.held, claim)
	return l.Close()
}

// Address is FreeAddress for a test, which ends if there is none.
func Address(t testing.TB) string {
	t.Helper()
	address, err := FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}
