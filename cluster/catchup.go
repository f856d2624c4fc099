package cluster

import "time"

// A member that comes back tells the directories of its topics when it knows what became
// of them while it was away: what was deleted is not listed again, not even for a moment,
// for directories keep names.

// leaderlessTime is how long a shard may have no leader, that anybody knows of, until
// what it has committed is not waited for.
const leaderlessTime = 5 * time.Second

// catchUp waits until this member has applied what was committed when it came.
func (w *watch) catchUp() {
	defer w.caughtUp.Store(true)
	wanted := make(map[int]uint64)
	began := w.r.now()
	for {
		if len(wanted) <= Shards {
			for _, st := range w.r.s.Statuses() {
				commits(wanted, st.Shards)
			}
		}
		if w.has(wanted) && (len(wanted) > Shards || w.r.now()-began >= leaderlessTime) {
			return
		}
		if w.r.pause(watchEvery); w.r.ctx.Err() != nil {
			return
		}
	}
}

// commits notes what leaders have committed, of shards of which that is not known yet.
func commits(wanted map[int]uint64, shards []ShardStatus) {
	for _, s := range shards {
		if _, known := wanted[int(s.Shard)]; !known && s.agrees() {
			wanted[int(s.Shard)] = s.Commit
		}
	}
}

// has tells whether this member has applied so much.
func (w *watch) has(wanted map[int]uint64) bool {
	for n, commit := range wanted {
		if s := w.r.shard(uint32(n)); s == nil || s.Status().Applied < commit {
			return false
		}
	}
	return true
}
