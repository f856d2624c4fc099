package main

import (
	"fmt"
	"strconv"

	"github.com/alecthomas/kong"

	"qmq/loadgen"
	"qmq/protocol"
)

// benchEncoding is what the connections are wrapped in.
type benchEncoding struct {
	TLS     bool         `name:"tls" help:"Encrypt all connections; the daemon's certificate is not verified."`
	Snappy  bool         `help:"Compress all connections with snappy."`
	Deflate deflateLevel `help:"Compress all connections with deflate, both sides at level 6 or, with --deflate=LEVEL, at one of 1 to 9."`
}

func (b *benchEncoding) apply(l *loadgen.Load) {
	l.Encoding = loadgen.Encoding{TLS: b.TLS, Snappy: b.Snappy, Deflate: int(b.Deflate)}
}

// deflateLevel is a flag that may do without a value; 0 is no deflate.
type deflateLevel int

// IsBool lets the value be left away.
func (*deflateLevel) IsBool() bool { return true }

// Decode takes the value, if there is one.
func (d *deflateLevel) Decode(ctx *kong.DecodeContext) error {
	if ctx.Scan.Peek().Type != kong.FlagValueToken {
		*d = protocol.DefaultDeflateLevel
		return nil
	}
	text := ctx.Scan.Pop().String()
	level, err := strconv.Atoi(text)
	if err != nil || level < 1 || level > 9 {
		return fmt.Errorf("%q is not a level of 1 to 9", text)
	}
	*d = deflateLevel(level)
	return nil
}
