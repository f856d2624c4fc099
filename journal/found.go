package journal

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"qmq/state"
)

// Found is what was found in a journal's files.
type Found struct {
	State *state.State
	// Checkpoint is the number of the checkpoint that was read, 0: there was
	// none. CheckpointIncarnation is the highest incarnation that it knew, deleted
	// ones included: what is not above it and not in State was deleted.
	Checkpoint, CheckpointIncarnation uint64
	// Damage is what could not be read, or is missing.
	Damage []Damage
	// LostBytes is how much of the files could not be read because it was
	// damaged. The tail that a crash tears is not counted.
	LostBytes int64
	// Incomplete says that a part of what the journal was told is unreadable or
	// missing, in a place that nothing else makes good, so that topics,
	// channels or deletions may be unknown. The tail that a crash tears, and a
	// damaged checkpoint whose predecessor and logs are whole, do not count.
	Incomplete bool
	// Empty says that there was neither a log nor a checkpoint.
	Empty bool
	// SameBoot says that a start since the machine was started is complete, see
	// Journal.Settle, and the newest log was written by it or a later one: so all
	// that was written, and not only what was synced, must still be there.
	SameBoot bool
	// LastLog is the number of the newest log that could be read, 0: there was
	// none. All logs from BootLog on were written since the machine was started,
	// where SameBoot holds.
	LastLog, BootLog uint64
	// Logs are those that were read, by number.
	Logs map[uint64]FoundLog
}

// FoundLog is a log as it was found.
type FoundLog struct {
	End     int64 // of its last whole record
	Entries bool  // it has some
}

// Damage is a part of a file that cannot be read, or a file that is missing.
type Damage struct {
	File   string // its name in the journal's directory
	Offset int64
	Bytes  int64 // 0 of a file that is missing
	Err    error
}

func (d Damage) Error() string {
	if d.Bytes == 0 {
		return fmt.Sprintf("%s: %v", d.File, d.Err)
	}
	return fmt.Sprintf("%s: %d bytes from %d on: %v", d.File, d.Bytes, d.Offset, d.Err)
}

func (d Damage) Unwrap() error { return d.Err }

// Read reads the journal in o.Dir as Open does, and changes nothing. Of the
// options FS, Dir, BootID and Logger count. A directory that is not there is an
// empty journal.
func Read(o Options) (*Found, error) {
	files, err := list(o.FS, o.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("journal: %w", err)
	}
	r := newReplay(o.FS, o.Dir, o.BootID, cmp.Or(o.Logger, slog.Default()))
	if err := r.run(files); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	found := r.found
	return &found, nil
}
