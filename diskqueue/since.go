package diskqueue

import (
	"errors"

	"qmq/internal/vfs"
	"qmq/message"
)

// FirstSince is a number from which on all lie that were appended at a time, wall ns, or
// later, by the node's clock; some of those before may, too.
func (l *Log) FirstSince(wall int64) uint64 {
	first := l.Start()
	for _, s := range l.list() { // what was appended before the last of these is older
		if s.created != 0 && s.created <= wall {
			first = s.base
		}
	}
	return first
}

// Dir is where the log's files are. Others may put files of their own beside them, whose
// names do not end as those of a log.
func (l *Log) Dir() (vfs.FS, string) { return l.shared.fs, l.o.Dir }

// Scan shows each message in [from, to) that can be read, whose view is valid until show
// returns. The error tells of those that are damaged, or that cannot be read now.
func (r *Reader) Scan(from, to uint64, show func(message.View)) (failed error) {
	for from < to {
		v, err := r.Read(from)
		if err == nil {
			show(v)
			from++
			continue
		}
		behind, passing := r.behindGap(from, err)
		if passing != nil {
			behind = from + 1
		}
		if !errors.Is(err, ErrNotFound) && failed == nil {
			failed = err
		}
		from = behind
	}
	return failed
}
