package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"

	pb "go.etcd.io/raft/v3/raftpb"

	"qmq/internal/vfs"
	"qmq/replica"
)

// group0 is the machine of group 0: a registry, and where in the log it is. It is
// small: its checkpoint is one file, raft/0/state, a checked line of JSON as
// raft/member is.
type group0 struct {
	fs  vfs.FS
	dir string
	// changed is called after a registry was replaced, on the goroutine that applies.
	changed func(*registry)
	// balance is called when somebody asks for leaders to be spread; nil: nobody does that
	// here.
	balance func()

	mu sync.Mutex // guards what follows; nothing waits while it is held
	s  group0State
}

// group0State is a registry at a position. None of it is ever changed.
type group0State struct {
	Index    uint64    `json:"index"`
	Term     uint64    `json:"term"`
	Members  []byte    `json:"members,omitempty"` // a raftpb.ConfState
	Registry *registry `json:"registry"`
}

const group0Name = "state"

// openGroup0 reads the newest checkpoint. Without one the state is that of a set that
// begins, or nothing for who joins.
func openGroup0(fsys vfs.FS, dir string, begins *record, changed func(*registry)) (*group0, error) {
	g := &group0{fs: fsys, dir: dir, changed: changed}
	content, err := vfs.ReadFile(fsys, g.path(), maxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		g.s.Registry = new(registry)
		if begins != nil {
			g.s.Registry = newRegistry(begins)
		}
	case err != nil:
		return nil, err
	default:
		line, ok := checkedLine(content)
		if g.s, err = parseGroup0(line); !ok || err != nil {
			return nil, fmt.Errorf("%s is damaged: it says who the members are. Remove the directories raft and replicated: then the node joins its set again with nothing", g.path())
		}
	}
	changed(g.s.Registry)
	return g, nil
}

func parseGroup0(line []byte) (s group0State, err error) {
	if err := json.Unmarshal(line, &s); err != nil {
		return s, err
	}
	if s.Registry == nil {
		return s, errors.New("no registry")
	}
	return s, nil
}

func (g *group0) path() string { return filepath.Join(g.dir, group0Name) }

func (g *group0) state() group0State {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.s
}

// set moves to a new state.
func (g *group0) set(s group0State) {
	g.mu.Lock()
	before := g.s.Registry
	g.s = s
	g.mu.Unlock()
	if s.Registry != before {
		g.changed(s.Registry)
	}
}

// Applied is part of replica.Machine.
func (g *group0) Applied() (index, term uint64) {
	s := g.state()
	return s.Index, s.Term
}

// Members is part of replica.Machine.
func (g *group0) Members() *pb.ConfState {
	s := g.state()
	members, err := replica.DecodeMembers(s.Members)
	if err != nil {
		return nil // the shard refuses to start without
	}
	return members
}

// Apply is part of replica.Machine. The outcome is refused.
func (g *group0) Apply(index, term uint64, data []byte) (outcome any, err error) {
	s := g.state()
	s.Index, s.Term = index, term
	if len(data) == 0 {
		g.set(s)
		return refused(""), nil
	}
	e, err := decodeEntry(data)
	if err != nil {
		return nil, err
	}
	next := s.Registry.clone()
	why := next.apply(e)
	if why == "" {
		s.Registry = next
	}
	g.set(s)
	if why == "" && e.Prefer != nil && e.Prefer.All && g.balance != nil {
		g.balance()
	}
	return why, nil
}

// SetMembers is part of replica.Machine.
func (g *group0) SetMembers(index, term uint64, members *pb.ConfState) error {
	s := g.state()
	s.Index, s.Term = index, term
	b, err := replica.EncodeMembers(members)
	if err != nil {
		return err
	}
	s.Members = b
	g.set(s)
	return nil
}

// Checkpoint is part of replica.Machine.
func (g *group0) Checkpoint() (index uint64, err error) {
	s := g.state()
	return s.Index, g.save(s)
}

func (g *group0) save(s group0State) error {
	if err := makeDir(g.fs, g.dir); err != nil {
		return err
	}
	line, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return replaceFile(g.fs, g.path(), appendCheck(line))
}

// Fatal is part of replica.Machine.
func (g *group0) Fatal(err error) bool { return errors.Is(err, errUnknownEntry) }

// snapshot is the whole state, for a member that is behind.
func (g *group0) snapshot() ([]byte, error) { return json.Marshal(g.state()) }

// install makes a snapshot the state, for good.
func (g *group0) install(line []byte) error {
	s, err := parseGroup0(line)
	if err != nil {
		return err
	}
	if before := g.state(); s.Index < before.Index {
		return fmt.Errorf("a snapshot of entry %d, and %d is applied", s.Index, before.Index)
	}
	if err := g.save(s); err != nil {
		return err
	}
	g.set(s)
	return nil
}
