package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"qmq/api"
	"qmq/config"
)

// listen opens a TCP listener, or one on a unix socket for what is no
// host:port.
func listen(address string) (net.Listener, error) { return listenMode(address, nil) }

// listenMode is listen with the mode of the socket, from the moment at which it is
// there; nil: what the umask says.
func listenMode(address string, mode *fs.FileMode) (net.Listener, error) {
	network := "tcp"
	if _, _, err := net.SplitHostPort(address); err != nil {
		network = "unix"
	}
	if network == "unix" && mode != nil {
		masking.Lock()
		defer masking.Unlock()
		defer mask(*mode)()
	}
	l, err := net.Listen(network, address)
	if network == "unix" && errors.Is(err, syscall.EADDRINUSE) && removeStale(address) {
		l, err = net.Listen(network, address)
	}
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err // the rest says the address once more
		}
		return nil, fmt.Errorf("listen (%s) failed - %w", address, err)
	}
	return l, nil
}

// masking is held while the process has another umask.
var masking sync.Mutex

// answerTime is how long a process that listens on a socket has to be found.
const answerTime = time.Second

// removeStale removes a socket file that nobody listens on, as a process that
// was killed leaves one. It returns false when there is somebody, or when the
// file is no socket.
func removeStale(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return false
	}
	conn, err := net.DialTimeout("unix", path, answerTime)
	if err == nil {
		conn.Close()
		return false
	}
	return errors.Is(err, syscall.ECONNREFUSED) && os.Remove(path) == nil
}

// sockets are those that qd listens on; nil for those that are off.
type sockets struct {
	tcp, http, https net.Listener
}

// openSockets opens all that q asks for, or none.
func openSockets(q *config.QD) (l sockets, err error) {
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	mode := q.SocketPermissions()
	if l.tcp, err = listenMode(q.TCPAddress, mode); err != nil {
		return l, err
	}
	if q.HTTPAddress != "" {
		if l.http, err = listenMode(q.HTTPAddress, mode); err != nil {
			return l, err
		}
	}
	if q.TLSCert != "" && q.HTTPSAddress != "" {
		l.https, err = listenMode(q.HTTPSAddress, mode)
	}
	return l, err
}

func (l *sockets) close() {
	for _, each := range []net.Listener{l.tcp, l.http, l.https} {
		if each != nil {
			each.Close()
		}
	}
}

// ports are those of the sockets, -1 for one without.
func (l *sockets) ports() api.Ports {
	of := func(l net.Listener) int {
		if l == nil {
			return -1
		}
		return api.PortOf(l.Addr())
	}
	return api.Ports{TCP: of(l.tcp), HTTP: of(l.http), HTTPS: of(l.https)}
}
