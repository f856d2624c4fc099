package server

// feeder gives the bytes that an input reads to the layer above it. It belongs
// to the session's reading goroutine.
type feeder struct {
	in  *input
	off int // in.bytes()[:off] are used up
}

// empty says that there is nothing to use before the input has read more.
func (f *feeder) empty() bool { return f.off == f.in.n }

// more waits for bytes and adds them to what is there.
func (f *feeder) more() error {
	f.drop()
	return f.in.fill()
}

// Read waits for bytes only if there are none.
func (f *feeder) Read(p []byte) (int, error) {
	if f.empty() {
		if err := f.more(); err != nil {
			return 0, err
		}
	}
	n := copy(p, f.in.bytes()[f.off:])
	f.use(n)
	return n, nil
}

// peek waits until at least n bytes are there and returns all that are. They
// are valid until the next call of anything but use.
func (f *feeder) peek(n int) ([]byte, error) {
	for f.in.n-f.off < n {
		if err := f.more(); err != nil {
			return nil, err
		}
	}
	return f.in.bytes()[f.off:], nil
}

// use takes n bytes that are there.
func (f *feeder) use(n int) {
	f.off += n
	if f.empty() {
		f.drop() // an idle connection holds no buffer
	}
}

func (f *feeder) drop() {
	f.in.consume(f.off)
	f.off = 0
}

// useSnappy puts snappy between the session and what it reads and writes now.
func (s *session) useSnappy() error {
	r := &snappyReader{from: feeder{in: s.in.insert()}}
	s.in.from, s.in.ahead = r, r.ahead
	s.out.through(&snappyWriter{to: s.out.below()})
	s.agree(func(t *terms) { t.snappy = true })
	return nil
}

// useDeflate does the same with deflate.
func (s *session) useDeflate(level int) error {
	r := newDeflateReader(feeder{in: s.in.insert()})
	s.in.from, s.in.ahead = r, r.ahead
	s.out.through(&deflateWriter{to: s.out.below(), level: level})
	s.atEnd = r.release
	s.agree(func(t *terms) { t.deflate = true })
	return nil
}
