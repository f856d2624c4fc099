package replica

import "time"

const (
	// hangs is how long a save or an apply may take before leadership moves.
	hangs = 300 * time.Millisecond
	// fast is how long the last save of a member may have taken that leadership
	// is moved to.
	fast = 100 * time.Millisecond
	// fresh is how old what is known of a member may be.
	fresh = time.Second
	// A disk that is merely slow has leadership moved once in again at most. One that takes
	// longer than surely hangs: then it is moved once more after retry, be it that it came
	// back meanwhile, or that it was not taken.
	again  = 10 * time.Second
	surely = 2 * hangs
	retry  = time.Second
)

// Disk is how a member's disk is doing, as its node told.
type Disk struct {
	Told    time.Duration // when, on the watchdog's clock
	Save    time.Duration // how long the last save took
	Oldest  time.Duration // how long the oldest unfinished one has taken
	Waiting time.Duration // for how long the machine could not apply
	Low     bool          // there is little room, if any
	Scarce  bool          // there is so little that what is only retained gives way
	// Draining says that the member is about to leave.
	Draining bool
}

// well tells whether leadership may be moved to the member.
func (d Disk) well(now time.Duration) bool {
	return now-d.Told <= fresh && d.Save <= fast && d.Oldest <= fast && d.Waiting == 0 && !d.Low && !d.Draining
}

// Watchdog decides when a leader whose disk hangs or is full gives leadership
// away. It has no clock and no goroutine. The zero value is ready.
type Watchdog struct {
	moved time.Duration
	any   bool
}

// Decide returns the member that leadership of a shard should be moved to, and
// whether it should: this node's disk hangs, it has not just moved it, and
// there is a follower that has all but the newest entries and whose disk is
// well. Where there is none it stays.
func (w *Watchdog) Decide(now time.Duration, own Disk, st Status, disk func(member uint64) (Disk, bool)) (to uint64, move bool) {
	if took := max(own.Oldest, own.Waiting); st.Role != Leader || took <= hangs || !w.mayMove(now, took) {
		return 0, false
	}
	var match uint64
	for _, f := range st.Followers {
		d, known := disk(f.Member)
		if f.Learner || f.Snapshot || !f.Active || !known || !d.well(now) || !votes(st, f.Member) {
			continue
		}
		if !move || f.Match > match {
			to, match, move = f.Member, f.Match, true
		}
	}
	if move {
		w.moved, w.any = now, true
	}
	return to, move
}

// mayMove says whether it is long enough since leadership was moved last, to move it for
// what takes so long.
func (w *Watchdog) mayMove(now, took time.Duration) bool {
	since := now - w.moved
	return !w.any || since >= again || since >= retry && took > surely
}

func votes(st Status, member uint64) bool {
	for _, v := range st.Members.GetVoters() {
		if v == member {
			return true
		}
	}
	return false
}
