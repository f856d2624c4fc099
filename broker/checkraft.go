package broker

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"qmq/raftlog"
)

// raftLogDir is where a member of a replicated set has its raft log, below the
// data directory.
var raftLogDir = filepath.Join("raft", "wal")

// checkRaftLog looks at the votes and entries of a member of a replicated set, if
// the directory is one's. An end that is torn is nothing amiss.
func (c *checkup) checkRaftLog() error {
	dir := filepath.Join(c.path, raftLogDir)
	rep, err := raftlog.Check(c.fs, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, f := range rep.Damaged {
		c.report(CheckedFinding{
			Kind: DamagedRaftLog, Path: f.Path,
			Text: fmt.Sprintf("offset %d: %v; the node will set the log aside and join its set anew", f.Offset, f.Err),
		})
	}
	for _, f := range rep.Flaws {
		c.report(CheckedFinding{Kind: DamagedRaftLog, Path: f.Path, Text: f.Err.Error() + "; the other one is good"})
	}
	if rep.Doubt != "" {
		c.report(CheckedFinding{Kind: DamagedRaftLog, Path: dir, Text: rep.Doubt + "; the node will join its set anew"})
	}
	return nil
}
