package raftlog

import (
	"fmt"
	"strconv"
	"strings"

	"qmq/internal/vfs"
)

// segment is a file of the log.
type segment struct {
	header
	path string
	f    vfs.File
	room int64 // length of the file

	end    int64 // of what was written and counts; only the writer changes it
	synced int64 // of what is known to be on the disk; the writer's
	dirty  bool  // written without a sync since the last one; Log.mu
	// used is up to where the file was written to before: a sync of what is written
	// there has no other news of the file to bring to the disk. The writer's.
	used int64

	// lasts are the shards' last indexes when the segment ended, of those whose
	// log has not restarted since. Log.mu
	lasts map[uint32]uint64
}

const (
	segmentSuffix = ".wal"
	spareSuffix   = ".spare"
	keptSuffix    = ".kept"
)

func segmentName(number uint64) string { return fmt.Sprintf("%016d%s", number, segmentSuffix) }

func spareName(number uint64) string { return fmt.Sprintf("%016d%s", number, spareSuffix) }

// numberOf is the number in a name of that kind.
func numberOf(name, suffix string) (number uint64, ok bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok {
		return 0, false
	}
	number, err := strconv.ParseUint(digits, 10, 64)
	return number, err == nil && fmt.Sprintf("%016d", number) == digits
}
