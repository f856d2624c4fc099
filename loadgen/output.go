package loadgen

import "net"

// output is what one write of a connection sends: bytes of its own and, in
// between, stretches that stay where they are. The zero output is empty.
type output struct {
	own   []byte      // commands without the stretches
	cut   int         // own[cut:] comes after the last stretch
	parts net.Buffers // pieces of own and stretches in turn, up to cut
	size  int         // bytes of all parts
}

// share adds a stretch without copying it. It must not change before the
// output is sent.
func (o *output) share(stretch []byte) {
	// When own grows later, what has been cut off stays behind as it is.
	o.parts = append(o.parts, o.own[o.cut:], stretch)
	o.size += len(o.own) - o.cut + len(stretch)
	o.cut = len(o.own)
}

func (o *output) len() int { return o.size + len(o.own) - o.cut }

// send writes everything and empties the output.
func (o *output) send(c *conn) error {
	if o.len() == 0 {
		return nil
	}
	var err error
	if len(o.parts) == 0 {
		_, err = c.Write(o.own)
	} else {
		o.parts = append(o.parts, o.own[o.cut:])
		left := o.parts // WriteTo moves it on
		_, err = left.WriteTo(c.to)
	}
	*o = output{own: o.own[:0], parts: o.parts[:0]}
	return err
}
