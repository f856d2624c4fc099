package stream

import "io"

// layer is what an Input reads through: TLS or a compression.
type layer interface {
	io.Reader
	// wait returns when there is something to read, or an error.
	wait() error
}

// layerReader gives the bytes that an input reads to the layer above it. It
// belongs to the goroutine that reads.
type layerReader struct {
	in  *Input
	off int // in.Bytes()[:off] are used up
}

// buffered is how many bytes can be used before the input has read more.
func (r *layerReader) buffered() int { return r.in.n - r.off }

// more waits for bytes and adds them to what is there.
func (r *layerReader) more() error {
	r.drop()
	return r.in.Fill()
}

// Read waits for bytes only if there are none.
func (r *layerReader) Read(p []byte) (int, error) {
	if r.buffered() == 0 {
		if err := r.more(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.bytes())
	r.use(n)
	return n, nil
}

// bytes are those that are there, valid until the next call of anything but use.
func (r *layerReader) bytes() []byte { return r.in.Bytes()[r.off:] }

// peek waits until at least n bytes are there and returns all that are. They
// are valid until the next call of anything but use.
func (r *layerReader) peek(n int) ([]byte, error) {
	for r.buffered() < n {
		if err := r.more(); err != nil {
			return nil, err
		}
	}
	return r.bytes(), nil
}

// use takes n bytes that are there.
func (r *layerReader) use(n int) {
	r.off += n
	if r.buffered() == 0 {
		r.drop() // an idle connection holds no buffer
	}
}

func (r *layerReader) drop() {
	r.in.Consume(r.off)
	r.off = 0
}
