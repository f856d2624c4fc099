package diskqueue

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"qmq/internal/vfs"
)

// keptBytes bounds the copy that is kept of one damaged stretch.
const keptBytes = 16 << 20

// keep copies the bytes of a file between two offsets to another beside it, for
// people, and returns its name; none when there is nothing but zeros. What was
// kept before stays. Where the medium fails the copy has zeros. f is the open
// file, or nil.
func (l *Log) keep(path string, from, to int64, f io.ReaderAt) (copied string) {
	if to = min(to, from+keptBytes); from >= to {
		return ""
	}
	if f == nil {
		opened, err := l.shared.fs.Open(path)
		if err != nil {
			l.o.Logger.Warn("no copy of damaged records kept", "path", path, "error", err)
			return ""
		}
		defer opened.Close()
		f = opened
	}
	b := make([]byte, to-from)
	n, _ := readFull(&around{f: f}, b, from)
	if b = b[:n]; !slices.ContainsFunc(b, func(x byte) bool { return x != 0 }) {
		return ""
	}
	copied = copyName(path, from)
	if err := writeNew(l.shared.fs, copied, b); err != nil && !isExist(err) {
		l.o.Logger.Warn("no copy of damaged records kept", "path", copied, "error", err)
		return ""
	}
	return copied
}

// writeHead writes a segment's header anew, which the next Sync syncs.
func (l *Log) writeHead(s *segment) {
	h := segmentHeader{
		version: 2, incarnation: l.o.Incarnation, base: s.base, salt: s.salt, created: l.o.Now(),
		prevEnd: s.prevEnd, prevKnown: s.prevKnown, recycled: true,
	}
	switch {
	case s.start == segmentHeadV1:
		h.version = 1
	case s.carried:
		h.version, h.end, h.count = carryVersion, s.end, s.count
	}
	f, err := l.shared.fs.Open(s.path)
	if err == nil {
		_, err = f.WriteAt(h.head(), 0)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		l.o.Logger.Warn("segment header not written anew", "path", s.path, "error", err)
	}
}

const damagedSuffix = ".damaged"

func copyName(path string, from int64) string {
	return fmt.Sprintf("%s-%d%s", path, from, damagedSuffix)
}

func writeNew(fs vfs.FS, path string, b []byte) error {
	f, err := fs.Create(path)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	return errors.Join(err, f.Close())
}

// errBadRecords is why records do not count that the file system gave.
var errBadRecords = errors.New("records do not verify")

// found reports what a read found amiss.
func (l *Log) found(f Finding) {
	if l.o.Found != nil {
		l.o.Found(f)
	}
}
