package raftlog

import (
	"maps"
	"slices"

	"qmq/internal/vfs"
)

// Report is what Check found in a directory.
type Report struct {
	Cluster, Node uint64 // whose log it is
	Files         int    // that make it up
	Bytes         int64  // in them
	Shards        []ShardReport
	Recovered               // as Open would find it; Doubt only as far as the files tell
	Flaws         []Finding // of headers that have a good second copy
}

// ShardReport is what the log has of a shard.
type ShardReport struct {
	ID                 uint32
	Term, Vote, Commit uint64
	First, Last        uint64 // indexes of entries; First is Last+1 if there are none
	LastTerm           uint64 // that of Last
}

// Check reads and verifies all files of a log that no process has open, and
// changes nothing. An error is one of the file system, or wraps ErrNewer.
func Check(fsys vfs.FS, dir string) (*Report, error) {
	r, err := Read(fsys, dir)
	if err != nil {
		return nil, err
	}
	r.Close()
	return &r.Report, nil
}

// Reading is a log at rest, whose entries can be read. Nothing of it can be changed.
type Reading struct {
	Report
	log *Log
}

// Read is Check for whoever wants to see the entries too. Who has it closes it.
func Read(fsys vfs.FS, dir string) (*Reading, error) {
	o := Options{FS: vfs.ReadOnly(fsys), Dir: dir, Manual: true}
	o.setDefaults()
	r := &replay{fs: o.FS, dir: dir}
	if err := r.read(); err != nil {
		r.close(nil)
		return nil, err
	}
	r.close(r.chain)
	return &Reading{Report: r.report(), log: newLog(o, r)}, nil
}

// report tells what was read.
func (r *replay) report() Report {
	rep := Report{Cluster: r.owner.cluster, Node: r.owner.node, Files: len(r.chain), Recovered: r.Recovered, Flaws: r.flaws}
	for _, g := range r.chain {
		rep.Bytes += g.end - firstRecord
	}
	if r.session.doubt && rep.Doubt == "" {
		rep.Doubt = doubtBefore
	}
	for _, id := range slices.Sorted(maps.Keys(r.shards)) {
		s := r.shards[id]
		rep.Shards = append(rep.Shards, ShardReport{
			ID: id, Term: s.hard.term, Vote: s.hard.vote, Commit: s.hard.commit, First: s.base.index + 1, Last: s.last(), LastTerm: s.end().term,
		})
	}
	return rep
}

// Shard is the log of a shard, as far as its files are good. It is only for reading.
func (r *Reading) Shard(id uint32) *Shard { return r.log.Shard(id) }

// Close lets the files go.
func (r *Reading) Close() { r.log.closeFiles() } // they were only read
