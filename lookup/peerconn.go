package lookup

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"qmq/internal/address"
	"qmq/protocol"
)

const (
	// ioTimeout is how long a directory may take to be connected to, to take a
	// write, and for each reply.
	ioTimeout = time.Second
	// maxReply is the longest reply that is read, in bytes.
	maxReply = 64 << 10
	// maxBatch is how many commands are sent before their replies are read.
	// These replies fit the buffers of any socket, so that neither side waits
	// for the other.
	maxBatch = 128
)

// peerConn is a connection to a directory, with one user at a time.
type peerConn struct {
	conn  net.Conn
	in    *bufio.Reader
	heard bool // a reply has come, or the beginning of one
}

func newPeerConn(conn net.Conn) *peerConn {
	return &peerConn{conn: conn, in: bufio.NewReaderSize(conn, 1<<10)}
}

// identify opens the conversation and returns where the directory serves HTTP;
// empty if it does not say. The reply may take that long.
func (l *peerConn) identify(in introduction, timeout time.Duration) (web string, err error) {
	body, err := json.Marshal(in)
	if err != nil {
		return "", err
	}
	out := []byte(protocol.LookupMagic)
	out = protocol.AppendLookupCommand(out, &protocol.LookupCommand{Kind: protocol.LookupIdentify, Body: body})
	if err := l.write(out); err != nil {
		return "", err
	}
	reply, err := l.reply(timeout)
	if err != nil {
		return "", err
	}
	var is IdentifyAnswer
	if err := json.Unmarshal(reply, &is); err != nil {
		return "", fmt.Errorf("IDENTIFY: answered %q", shorten(reply))
	}
	if !address.ValidHost(is.BroadcastAddress) || is.HTTPPort <= 0 {
		return "", nil
	}
	return address.Join(is.BroadcastAddress, is.HTTPPort), nil
}

// announce sends changes, at most maxBatch of them, and reads the replies.
func (l *peerConn) announce(changes []change) error {
	var out []byte
	for _, c := range changes {
		out = c.append(out)
	}
	if err := l.write(out); err != nil {
		return err
	}
	for _, c := range changes {
		if err := l.expectOK(); err != nil {
			return fmt.Errorf("%s: %w", strings.TrimSpace(string(c.append(nil))), err)
		}
	}
	return nil
}

// append adds the command that tells the change.
func (c change) append(dst []byte) []byte {
	cmd := protocol.LookupCommand{Kind: protocol.LookupRegister, Topic: []byte(c.topic), Channel: []byte(c.channel)}
	if c.gone {
		cmd.Kind = protocol.LookupUnregister
	}
	return protocol.AppendLookupCommand(dst, &cmd)
}

// ping tells the directory that this node lives, and which publishes it takes.
func (l *peerConn) ping(t Taking) error {
	err := l.write(protocol.AppendLookupCommand(nil, &protocol.LookupCommand{Kind: protocol.LookupPing, Rest: t.line()}))
	if err == nil {
		err = l.expectOK()
	}
	if err != nil {
		return fmt.Errorf("PING: %w", err)
	}
	return nil
}

func (l *peerConn) expectOK() error {
	reply, err := l.reply(ioTimeout)
	if err == nil && string(reply) != protocol.LookupOK {
		err = fmt.Errorf("answered %q", shorten(reply))
	}
	return err
}

func (l *peerConn) write(b []byte) error {
	if err := l.conn.SetWriteDeadline(time.Now().Add(ioTimeout)); err != nil {
		return err
	}
	_, err := l.conn.Write(b)
	return err
}

func (l *peerConn) reply(timeout time.Duration) ([]byte, error) {
	if err := l.conn.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	start, err := l.in.Peek(4)
	l.heard = l.heard || len(start) > 0
	var reply []byte
	switch {
	case string(start) == "HTTP":
		return nil, errHTTPPort
	case len(start) > 0:
		reply, err = protocol.ReadLookupReply(l.in, maxReply)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = errNoReply
	}
	return reply, err
}

// errHTTPPort is the reason behind a reply that is the start of an answer of
// HTTP.
var errHTTPPort = errors.New("this is an HTTP port; the TCP port for nodes is another one, by default 4160 beside 4161")

var errNoReply = errors.New("no reply in time")

// stage is how far a connection came that failed before everything was told.
func (l *peerConn) stage() stage {
	if l.heard {
		return heard
	}
	return absent
}

var errUnasked = errors.New("it talks without being asked")

// listen waits until the read deadline, which others set, has passed; then it
// returns nil. The error is that the connection is lost.
func (l *peerConn) listen() error {
	_, err := l.in.Peek(1)
	switch {
	case err == nil:
		return errUnasked
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil
	case errors.Is(err, io.EOF):
		return errors.New("closed by the directory")
	}
	return err
}

// shorten cuts what is shown of a reply.
func shorten(reply []byte) []byte { return reply[:min(len(reply), 200)] }
