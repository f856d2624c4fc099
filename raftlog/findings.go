package raftlog

import (
	"errors"
	"fmt"
)

var (
	// ErrClosed is what Done gets of updates that were saved too late.
	ErrClosed = errors.New("the raft log is closed")
	// ErrForeign is wrapped by Open's error when a file is of another cluster's or
	// another node's log.
	ErrForeign = errors.New("of another node's raft log")
	// ErrNewer is wrapped by Open's error when a newer program wrote the log.
	ErrNewer = errors.New("written by a newer version")
	// ErrFailed is wrapped by what Done gets once the log has failed: what is
	// saved is not on the disk, nor will be until the log is opened again.
	ErrFailed = errors.New("the raft log has failed")
	// ErrContract is wrapped by what Done gets of an update that cannot follow what
	// was saved before: entries are missing before it, it replaces some that are
	// compacted, its term is an old one, or its vote another one in the same term.
	// Nothing of it is saved.
	ErrContract = errors.New("the update does not follow the raft log")
	// ErrDamaged is wrapped by the error of a read that finds damage.
	ErrDamaged = errors.New("damaged entry in the raft log")
)

// FindingKind is what is told while a log is in use.
type FindingKind int

const (
	// Sealed: a write or sync failed. What nobody was told of is written again, to
	// another file.
	Sealed FindingKind = iota + 1
	// Failed: that failed too. Nothing is acknowledged until the log is opened again.
	Failed
	// NoRoom: the disk is full and no file is prepared. Updates wait.
	NoRoom
	// RoomAgain: they are written again.
	RoomAgain
	// Doubt: without syncs, a sync failed in the background: what was acknowledged
	// since the last good one may be missing after a loss of power, or even the
	// next start. Or a file was removed in which there is what was acknowledged. The
	// node counts as forgetful.
	Doubt
	// Unreadable: an entry cannot be read back.
	Unreadable
)

func (k FindingKind) String() string {
	return [...]string{"", "sealed", "failed", "no room", "room again", "doubt", "unreadable"}[k]
}

// Finding is something that is wrong with a log.
type Finding struct {
	Kind   FindingKind // 0: of Recovered
	Path   string      // of the file
	Offset int64       // in it
	Err    error
}

func (f Finding) String() string { return fmt.Sprintf("%s: offset %d: %v", f.Path, f.Offset, f.Err) }

// Torn is what stands behind the last good update, and looks like the rest of a
// write that power or a kill has cut off. A last write that went bad on the disk
// looks the same, and may have been acknowledged, for any shard.
type Torn struct {
	Path   string
	Offset int64
}

// Recovered is what Open found.
type Recovered struct {
	New   bool  // nothing was ever written
	Clean bool  // it was closed
	Torn  *Torn // nil: it ends well
	// Short says that a torn end was cut off, now or at a former start, and Whole was
	// not called since: the node should neither vote nor acknowledge before it knows
	// how far the others are.
	Short bool
	// Damaged says what is damaged before the last write. Then the log is empty: its
	// files are kept in the directory Kept.
	Damaged []Finding
	Kept    string
	// Doubt says why something that was acknowledged may be missing; empty: it is
	// not. The log holds what is left.
	Doubt string
}

// Forgetful says that the node may have forgotten votes or entries that it
// acknowledged: under its present id it must not vote or acknowledge any more.
func (r *Recovered) Forgetful() bool { return len(r.Damaged) > 0 || r.Doubt != "" }
