package fromnsq

import (
	"errors"
	"fmt"
	"io"

	"qmq/internal/vfs"
)

// bodies reads messages' bodies from nsqd's files. They come nearly in the order of
// the files, so it keeps some blocks of them, those that were used last.
type bodies struct {
	fs        vfs.FS // read-only
	stretches []stretch
	open      string // the path that file is of
	file      vfs.File
	blocks    [blocksKept]block
	last      *block
	tick      int64
	scratch   []byte
}

const (
	blockSize  = 256 << 10
	blocksKept = 32
)

// block is a part of a file.
type block struct {
	stretch uint32
	at      int64 // of its first byte in the file, a multiple of blockSize
	buf     []byte
	used    int64 // tick of its last use; 0: there is nothing in it
}

func (b *block) is(stretch uint32, at int64) bool {
	return b.used > 0 && b.stretch == stretch && b.at == at
}

// read is the body of an entry, valid until the next call.
func (b *bodies) read(e *entry) ([]byte, error) {
	at := e.offset &^ (blockSize - 1)
	from := int(e.offset - at)
	if from+int(e.size) > blockSize { // it goes beyond the block
		if cap(b.scratch) < int(e.size) {
			b.scratch = make([]byte, e.size)
		}
		body := b.scratch[:e.size]
		n, err := b.readAt(e.stretch, body, e.offset)
		return body, b.whole(e, n, err)
	}
	c, err := b.block(e.stretch, at)
	if err != nil {
		return nil, err
	}
	if from+int(e.size) > len(c.buf) {
		return nil, b.whole(e, len(c.buf)-from, nil)
	}
	return c.buf[from : from+int(e.size)], nil
}

// whole is an error if less was read of a body than there was a moment ago.
func (b *bodies) whole(e *entry, n int, err error) error {
	if n == int(e.size) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = errors.New("the file has become shorter")
	}
	return fmt.Errorf("read %s: %w", b.stretches[e.stretch].Path, err)
}

func (b *bodies) block(stretch uint32, at int64) (*block, error) {
	if b.last != nil && b.last.is(stretch, at) {
		return b.last, nil
	}
	b.tick++
	oldest := &b.blocks[0]
	for i := range b.blocks {
		c := &b.blocks[i]
		if c.is(stretch, at) {
			c.used, b.last = b.tick, c
			return c, nil
		}
		if c.used < oldest.used {
			oldest = c
		}
	}
	if oldest.buf == nil {
		oldest.buf = make([]byte, blockSize)
	}
	oldest.used = 0
	n, err := b.readAt(stretch, oldest.buf[:blockSize], at)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	*oldest = block{stretch: stretch, at: at, buf: oldest.buf[:n], used: b.tick}
	b.last = oldest
	return oldest, nil
}

func (b *bodies) readAt(stretch uint32, buf []byte, at int64) (int, error) {
	if path := b.stretches[stretch].Path; path != b.open {
		if err := b.close(); err != nil {
			return 0, err
		}
		f, err := b.fs.Open(path)
		if err != nil {
			return 0, err
		}
		b.file, b.open = f, path
	}
	return b.file.ReadAt(buf, at)
}

func (b *bodies) close() error {
	if b.file == nil {
		return nil
	}
	f := b.file
	b.file, b.open = nil, ""
	return f.Close()
}
