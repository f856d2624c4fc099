package replica

import (
	"errors"
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"qmq/raftlog"
)

// logWith is a log that begins behind base and goes on to last, all of term 2.
func logWith(base, last uint64, hard *pb.HardState) *simLog {
	l := new(simLog)
	u := Update{HardState: hard}
	if base > 0 {
		u.Snapshot = &pb.SnapshotMetadata{Index: new(base), Term: new(uint64(2))}
	}
	for i := base + 1; i <= last; i++ {
		u.Entries = append(u.Entries, &pb.Entry{Index: new(i), Term: new(uint64(2))})
	}
	l.Save(u)
	l.show(l.write())
	return l
}

func machineAt(index, term uint64) *simMachine {
	m := newSimMachine(bugs{})
	m.index, m.term = index, term
	if index > 0 {
		m.members = &pb.ConfState{Voters: []uint64{1, 2, 3}, AutoLeave: new(false)}
	}
	return m
}

func TestStartMakesLogAndMachineAgree(t *testing.T) {
	hard := func(commit uint64) *pb.HardState {
		return &pb.HardState{Term: new(uint64(2)), Vote: new(uint64(1)), Commit: new(commit)}
	}
	for name, c := range map[string]struct {
		log     *simLog
		machine *simMachine
		again   bool // the log begins again behind the machine
		commit  uint64
		fails   bool
	}{
		"all is there":                      {log: logWith(3, 9, hard(7)), machine: machineAt(5, 2), commit: 7},
		"the commit index was not noted":    {log: logWith(3, 9, hard(4)), machine: machineAt(8, 2), commit: 8},
		"a snapshot that the log knows not": {log: logWith(3, 9, hard(7)), machine: machineAt(20, 3), again: true, commit: 20},
		"the log's start is gone":           {log: logWith(6, 9, hard(7)), machine: machineAt(5, 2), commit: 7, fails: false},
		"entries between are gone":          {log: logWith(7, 9, hard(8)), machine: machineAt(5, 2), fails: true},
		"committed entries are gone":        {log: logWith(3, 9, hard(11)), machine: machineAt(5, 2), fails: true},
		"the machine has something else":    {log: logWith(3, 9, hard(7)), machine: machineAt(5, 1), fails: true},
		"who joins has nothing":             {log: new(simLog), machine: machineAt(0, 0)},
	} {
		if name == "the log's start is gone" {
			c.fails = true // entry 6 is neither in the log nor in the machine
		}
		store, update, err := begin(c.log, c.machine, nil)
		if c.fails {
			if !errors.Is(err, ErrForgetful) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || (update != nil) != c.again || store.state.GetCommit() != c.commit {
			t.Errorf("%s: %v, update %v, state %v", name, err, update, store.state)
		}
		if c.again && (store.state.GetTerm() != 3 || store.state.GetVote() != 0) {
			t.Errorf("%s: state %v: a vote of an older term", name, store.state)
		}
	}
}

func TestForgetfulMemberDoesNotStart(t *testing.T) {
	if _, err := Open(Options{Forgetful: true}); !errors.Is(err, ErrForgetful) {
		t.Error(err)
	}
}

func TestNewShardBeginsBehindItsMembers(t *testing.T) {
	m := newSimMachine(bugs{})
	store, update, err := begin(new(simLog), m, []uint64{3, 1, 2})
	if err != nil {
		t.Fatal(err)
	}
	if update.Snapshot.GetIndex() != 1 || m.checkpoint.index != 1 || len(store.applied.GetConfState().GetVoters()) != 3 {
		t.Errorf("log behind %v, checkpoint at %d", update.Snapshot, m.checkpoint.index)
	}
	for _, voters := range [][]uint64{{1, 1}, {0}} {
		if _, _, err := begin(new(simLog), newSimMachine(bugs{}), voters); err == nil {
			t.Errorf("members %v are taken", voters)
		}
	}
}

func TestWatchdogMovesLeadershipAwayFromADiskThatHangs(t *testing.T) {
	st := Status{
		Role: Leader, Members: &pb.ConfState{Voters: []uint64{1, 2, 3}, Learners: []uint64{4}},
		Followers: []Progress{{Member: 2, Match: 10, Active: true}, {Member: 3, Match: 9, Active: true}, {Member: 4, Match: 10, Learner: true, Active: true}},
	}
	now := time.Minute
	well := Disk{Told: now, Save: time.Millisecond}
	slow := Disk{Told: now, Save: 200 * time.Millisecond}
	hung := Disk{Told: now, Oldest: 301 * time.Millisecond}
	long := Disk{Told: now, Oldest: 601 * time.Millisecond}
	full := Disk{Told: now, Waiting: 400 * time.Millisecond}
	stale := Disk{Told: now - 2*time.Second}
	for name, c := range map[string]struct {
		own   Disk
		disks map[uint64]Disk
		role  Role
		to    uint64
		moved time.Duration // how long before
	}{
		"all is well":           {own: well, disks: map[uint64]Disk{2: well, 3: well}, role: Leader},
		"to the furthest":       {own: hung, disks: map[uint64]Disk{2: well, 3: well, 4: well}, role: Leader, to: 2},
		"full disk":             {own: full, disks: map[uint64]Disk{2: well, 3: well}, role: Leader, to: 2},
		"to one that is fast":   {own: hung, disks: map[uint64]Disk{2: slow, 3: well}, role: Leader, to: 3},
		"all hang: it stays":    {own: hung, disks: map[uint64]Disk{2: hung, 3: full, 4: well}, role: Leader},
		"nothing new is known":  {own: hung, disks: map[uint64]Disk{2: stale}, role: Leader},
		"it does not lead":      {own: hung, disks: map[uint64]Disk{2: well}, role: Follower},
		"moved a moment before": {own: hung, disks: map[uint64]Disk{2: well}, role: Leader, moved: 9 * time.Second},
		"and it hangs for long": {own: long, disks: map[uint64]Disk{2: well}, role: Leader, moved: time.Second, to: 2},
		"but not at once":       {own: long, disks: map[uint64]Disk{2: well}, role: Leader, moved: 900 * time.Millisecond},
	} {
		var w Watchdog
		disk := func(m uint64) (Disk, bool) { d, ok := c.disks[m]; return d, ok }
		st := st
		st.Role = c.role
		if c.moved > 0 {
			w.Decide(now-c.moved, hung, Status{Role: Leader, Members: st.Members, Followers: st.Followers},
				func(uint64) (Disk, bool) { return Disk{Told: now - c.moved}, true })
		}
		if to, move := w.Decide(now, c.own, st, disk); to != c.to || move != (c.to != 0) {
			t.Errorf("%s: to %d, %v", name, to, move)
		}
	}
}

func TestCheckpointsAreMadeByWhoPinsTheLog(t *testing.T) {
	d := dueShards{}
	pinned := raftlog.Pinned{Shards: []uint32{2, 5}, Bytes: checkpointBytes}
	if got := d.next(0, raftlog.Pinned{Shards: []uint32{2}, Bytes: checkpointBytes - 1}); got != nil {
		t.Errorf("below the bound: %v", got)
	}
	if got := d.next(time.Second, pinned); len(got) != 2 {
		t.Errorf("of two that pin: %v", got)
	}
	if got := d.next(time.Second+checkpointPause/2, pinned); got != nil {
		t.Errorf("again at once: %v", got)
	}
	if got := d.next(time.Minute, pinned); len(got) != 2 {
		t.Errorf("again later: %v", got)
	}
	d.failed(2)
	if got := d.next(time.Minute+checkpointPause, pinned); len(got) != 1 || got[0] != 5 {
		t.Errorf("a moment after one has failed: %v", got)
	}
	if got := d.next(time.Minute+checkpointPause+failedPause, pinned); len(got) != 2 {
		t.Errorf("later: %v", got)
	}
}

// TestEntriesAreEverywhereWhenNobodyMayNeedThem: a leader knows who has what; a follower
// keeps nothing for members that are connected, all for one that is gone.
func TestEntriesAreEverywhereWhenNobodyMayNeedThem(t *testing.T) {
	members := &pb.ConfState{Voters: []uint64{1, 2, 3}, Learners: []uint64{4}}
	for name, c := range map[string]struct {
		st   Status
		gone uint64
		want uint64
	}{
		"a leader, all have all":        {Status{Role: Leader, Commit: 9, Followers: []Progress{{Member: 2, Match: 9}, {Member: 3, Match: 12}}}, 0, 9},
		"one is behind":                 {Status{Role: Leader, Commit: 9, Followers: []Progress{{Member: 2, Match: 9}, {Member: 3, Match: 4}}}, 0, 4},
		"one takes a snapshot":          {Status{Role: Leader, Commit: 9, Followers: []Progress{{Member: 2, Match: 9}, {Member: 3}}}, 0, 0},
		"a follower, all are connected": {Status{Leader: 2, Applied: 7, Members: members}, 0, 7},
		"one is gone":                   {Status{Leader: 2, Applied: 7, Members: members}, 3, 0},
		"a learner is gone":             {Status{Leader: 2, Applied: 7, Members: members}, 4, 0},
		"nobody leads":                  {Status{Applied: 7, Members: members}, 0, 0},
	} {
		s := &Shard{o: Options{Member: 1}, status: c.st}
		if got := s.everywhere(func(m uint64) bool { return m != c.gone }); got != c.want {
			t.Errorf("%s: up to %d, want %d", name, got, c.want)
		}
	}
}
