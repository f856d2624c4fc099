package replica

import (
	"errors"
	"strings"

	"qmq/internal/vfs/crashfs"
	"qmq/replica/machine"
)

// simShard is the node's machine itself, whose entries are those of package serve.
type simShard struct{ simTopics }

// newSimShard has the topics' logs take nothing while the disk is full; that of the node is
// preallocated.
func newSimShard(disk *simWAL) *simShard {
	s := &simShard{simTopics{fs: disk.fs}}
	disk.fs.Fail(func(op crashfs.Op, name string) error {
		switch {
		case op == crashfs.OpSync && disk.fails():
			return errors.New("input/output error")
		case s.full && (op == crashfs.OpWrite || op == crashfs.OpCreate) && strings.HasPrefix(name, "/node/replicated"):
			return errDiskFull
		}
		return nil
	})
	return s
}

// Apply notes what every replica has to know alike: what became of each part, and of its
// doubles.
func (s *simShard) Apply(index, term uint64, data []byte) (any, error) {
	s.last.hash = 0
	done, err := s.Machine.Apply(index, term, data)
	if err != nil || len(data) == 0 {
		return nil, err
	}
	out := done.(machine.Outcome)
	for _, p := range out.Parts {
		s.last.note(uint64(p.Status), p.Topic, p.Added.First, p.Added.End)
		for _, double := range p.Doubles {
			s.last.note(uint64(double))
		}
	}
	for _, t := range out.Topology {
		s.last.note(uint64(t.Result), t.Entry.Topic, t.Entry.Channel, t.Entry.Start)
		for _, r := range t.Gone {
			s.last.note(r.From, r.To)
		}
	}
	for _, id := range s.m.Topics() { // in any order: there is one with ids
		if d := s.m.Doubles(id); d.IDs > 0 {
			s.last.note(uint64(d.IDs), uint64(d.Oldest))
		}
	}
	return out, nil
}
