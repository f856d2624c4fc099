package crashset

import (
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"qmq/test/process"
)

// A fault happens to members of a set that is whole. It lasts for a while, and is undone.
type fault struct {
	kind string
	// hit are the members that it happens to, of the one that leads most and the others.
	hit func(leader *member, others []*member) []*member
	// begin has it happen; what it returns undoes it.
	begin func(p *plan, hit []*member) (undo func())
	// longest is how long it may last until it is undone.
	longest time.Duration
	// isolated says that it takes networks and disks of the members' own.
	isolated bool
	// spares says that publishes go on through those too that it happens to.
	spares bool
}

func theLeader(leader *member, _ []*member) []*member      { return []*member{leader} }
func aFollower(_ *member, others []*member) []*member      { return others[:1] }
func aMajority(leader *member, others []*member) []*member { return []*member{leader, others[0]} }
func everybody(leader *member, others []*member) []*member {
	return append([]*member{leader}, others...)
}
func bothOthers(_ *member, others []*member) []*member { return others }

var faults = []fault{
	{kind: "kill leader", hit: theLeader, begin: kill, longest: 3 * time.Second},
	{kind: "kill follower", hit: aFollower, begin: kill, longest: 3 * time.Second},
	{kind: "kill majority", hit: aMajority, begin: kill, longest: 3 * time.Second},
	{kind: "kill all", hit: everybody, begin: kill, longest: time.Second},
	{kind: "stop leader", hit: theLeader, begin: suspend, longest: 8 * time.Second},
	{kind: "stop follower", hit: aFollower, begin: suspend, longest: 8 * time.Second},
	{kind: "stop majority", hit: aMajority, begin: suspend, longest: 3 * time.Second},
	{kind: "hung disk of leader", hit: theLeader, begin: hang, longest: 8 * time.Second},
	{kind: "hung disk of follower", hit: aFollower, begin: hang, longest: 8 * time.Second},
	{kind: "terminate leader", hit: theLeader, begin: terminate, longest: time.Second},
	{kind: "terminate all", hit: everybody, begin: terminate, longest: time.Second},
	{kind: "wipe leader", hit: theLeader, begin: wipe, longest: time.Second},
	{kind: "wipe follower", hit: aFollower, begin: wipe, longest: time.Second},
	{kind: "no checkpoint", hit: everybody, begin: loseCheckpoints, longest: time.Second},
	{kind: "cut off leader", hit: theLeader, begin: cutBoth, longest: 8 * time.Second, isolated: true},
	{kind: "cut off follower", hit: aFollower, begin: cutBoth, longest: 8 * time.Second, isolated: true},
	{kind: "cut off all", hit: everybody, begin: cutBoth, longest: 3 * time.Second, isolated: true},
	{kind: "deaf leader", hit: theLeader, begin: cutTo, longest: 8 * time.Second, isolated: true},
	{kind: "dumb leader", hit: theLeader, begin: cutFrom, longest: 8 * time.Second, isolated: true},
	{kind: "deaf follower", hit: aFollower, begin: cutTo, longest: 8 * time.Second, isolated: true},
	{kind: "dumb follower", hit: aFollower, begin: cutFrom, longest: 8 * time.Second, isolated: true},
	{kind: "follower cut from leader", hit: aFollower, begin: cutFromLeader, longest: 8 * time.Second, isolated: true, spares: true},
	{kind: "full leader", hit: theLeader, begin: fillUp, longest: 8 * time.Second, isolated: true},
	{kind: "full follower", hit: aFollower, begin: fillUp, longest: 8 * time.Second, isolated: true},
	{kind: "full two", hit: bothOthers, begin: fillUp, longest: 4 * time.Second, isolated: true},
	{kind: "backlog on two", hit: bothOthers, begin: pileUp, longest: time.Second, isolated: true},
	{kind: "full leader and killed", hit: theLeader, begin: fillAndKill, longest: 4 * time.Second, isolated: true},
}

// plan is the faults of a run.
type plan struct {
	t      *testing.T
	s      *set
	l      *ledger
	w      *load
	random *rand.Rand
	kinds  []fault
	paused map[string]pauses // publishes, by kind of fault
	silent map[string]pauses // deliveries
	leader *member           // as the fault began: it leads most
}

func newPlan(t *testing.T, s *set, l *ledger, w *load) *plan {
	p := &plan{t: t, s: s, l: l, w: w, random: rand.New(rand.NewPCG(uint64(*seed), 0)), paused: make(map[string]pauses), silent: make(map[string]pauses)}
	for _, f := range faults {
		if (s.net != nil || !f.isolated) && (*only == "" || slices.Contains(strings.Split(*only, ","), f.kind)) {
			p.kinds = append(p.kinds, f)
		}
	}
	p.random.Shuffle(len(p.kinds), func(i, j int) { p.kinds[i], p.kinds[j] = p.kinds[j], p.kinds[i] })
	return p
}

// upTo is a random time.
func (p *plan) upTo(d time.Duration) time.Duration { return time.Duration(p.random.Int64N(int64(d))) }

// resumeTime is how long it may take until publishing goes on, once a majority can.
const resumeTime = 2 * time.Minute

// next has a fault happen, undoes it and waits until the set is whole; false: the run is
// over.
func (p *plan) next(n int) bool {
	f := p.kinds[n%len(p.kinds)]
	leader, others := p.s.leader()
	p.leader = leader
	if p.random.IntN(2) == 0 {
		slices.Reverse(others)
	}
	hit := f.hit(leader, others)
	over := p.l.disturb()
	began := time.Now()
	p.t.Logf("%s fault %d: %s, hits %s", began.Format("15:04:05.000"), n+1, f.kind, names(hit))
	p.w.reset()
	undo := f.begin(p, hit)
	spared := p.s.others(hit...)
	if f.spares {
		spared = p.s.members
	}
	majority := len(spared) > len(p.s.members)/2
	var channel *late
	if n%lateEvery == 0 {
		through := p.s.members[p.random.IntN(len(p.s.members))]
		if majority {
			through = spared[0]
		}
		channel = p.createLate(n, through)
	}
	time.Sleep(p.upTo(f.longest))
	if majority {
		if err := p.w.awaitPublishing(spared, resumeTime); err != nil {
			p.t.Errorf("%s: %v", f.kind, err)
		}
	}
	undo()
	if !majority {
		spared = p.s.members
		p.w.reset()
		if err := p.w.awaitPublishing(spared, resumeTime); err != nil {
			p.t.Errorf("%s, undone: %v", f.kind, err)
		}
	}
	pause := p.w.pauseThrough(spared)
	p.s.awaitWhole()
	if majority {
		pause = p.w.pauseThrough(spared)
	}
	silence := p.w.deliveryPause()
	p.paused[f.kind], p.silent[f.kind] = append(p.paused[f.kind], pause), append(p.silent[f.kind], silence)
	p.t.Logf("%s publishes paused for %d ms, deliveries for %d ms, whole after %d ms", time.Now().Format("15:04:05.000"), pause.Milliseconds(), silence.Milliseconds(), time.Since(began).Milliseconds())
	time.Sleep(time.Second) // what was in disorder at the clients is in order
	over()
	if channel != nil {
		channel.check()
	}
	time.Sleep(p.upTo(2 * time.Second))
	return !p.t.Failed()
}

// report tells how long publishes and deliveries paused.
func (p *plan) report() {
	for _, kind := range slices.Sorted(maps.Keys(p.paused)) {
		p.t.Logf("%-24s %3d faults, pause of publishes %v; of deliveries %v", kind, len(p.paused[kind]), p.paused[kind], p.silent[kind])
	}
}

func names(members []*member) string {
	var list []string
	for _, m := range members {
		list = append(list, m.name)
	}
	return strings.Join(list, ", ")
}

// startAgain starts members at once.
func (p *plan) startAgain(members []*member) func() {
	return func() {
		for _, m := range members {
			p.s.start(m)
		}
	}
}

func kill(p *plan, hit []*member) (undo func()) {
	for _, m := range hit {
		if err := syscall.Kill(m.PID(), syscall.SIGKILL); err != nil {
			p.t.Error(err)
		}
	}
	for _, m := range hit {
		<-m.Ended()
	}
	return p.startAgain(hit)
}

func suspend(p *plan, hit []*member) (undo func()) {
	return p.signal(hit, syscall.SIGSTOP, syscall.SIGCONT)
}

// signal sends a signal to members, and another one to undo that.
func (p *plan) signal(hit []*member, begin, end syscall.Signal) (undo func()) {
	send := func(s syscall.Signal) {
		for _, m := range hit {
			if err := syscall.Kill(m.PID(), s); err != nil {
				p.t.Error(err)
			}
		}
	}
	send(begin)
	return func() { send(end) }
}

// hang has no sync of members come to its end meanwhile.
func hang(p *plan, hit []*member) (undo func()) { return p.signal(hit, hangs, hangsNoMore) }

func terminate(p *plan, hit []*member) (undo func()) {
	var ends sync.WaitGroup
	for _, m := range hit { // each is told once: the second time it would stop at once
		ends.Go(func() {
			if err := m.Terminate(process.Timeout); err != nil {
				p.t.Error(err)
			}
		})
	}
	ends.Wait()
	return p.startAgain(hit)
}

func wipe(p *plan, hit []*member) (undo func()) {
	kill(p, hit)
	for _, m := range hit {
		entries, err := os.ReadDir(m.dir)
		if err != nil {
			p.t.Error(err)
		}
		for _, e := range entries {
			if err := os.RemoveAll(filepath.Join(m.dir, e.Name())); err != nil {
				p.t.Error(err)
			}
		}
	}
	return p.startAgain(hit)
}

// loseCheckpoints kills members and removes the newest checkpoint of each of their shards
// that has two.
func loseCheckpoints(p *plan, hit []*member) (undo func()) {
	kill(p, hit)
	for _, m := range hit {
		shards, err := filepath.Glob(filepath.Join(m.dir, "raft", "*"))
		if err != nil {
			p.t.Error(err)
		}
		for _, shard := range shards {
			found, _ := filepath.Glob(filepath.Join(shard, "*.ckpt"))
			if slices.Sort(found); len(found) > 1 {
				if err := os.Remove(found[len(found)-1]); err != nil {
					p.t.Error(err)
				}
			}
		}
	}
	return p.startAgain(hit)
}

// cut cuts members off from others, in one direction or both.
func (p *plan) cut(hit, others []*member, from, to bool) (undo func()) {
	for _, m := range hit {
		i := slices.Index(p.s.members, m)
		for _, other := range others {
			j := slices.Index(p.s.members, other)
			if i != j && from {
				p.s.net.cut(i, j)
			}
			if i != j && to {
				p.s.net.cut(j, i)
			}
		}
	}
	return p.s.net.heal
}

func cutBoth(p *plan, hit []*member) (undo func()) { return p.cut(hit, p.s.members, true, true) }
func cutFrom(p *plan, hit []*member) (undo func()) { return p.cut(hit, p.s.members, true, false) }
func cutTo(p *plan, hit []*member) (undo func())   { return p.cut(hit, p.s.members, false, true) }

// cutFromLeader leaves a member with the others but for the leader.
func cutFromLeader(p *plan, hit []*member) (undo func()) {
	return p.cut(hit, []*member{p.leader}, true, true)
}

// pileBytes is how much room pileUp leaves, beside the reserve of a member: more than the
// tenth of a disk that a member keeps free.
const (
	pileBytes = 256 << 20
	floodTime = time.Minute
)

func fillUp(p *plan, hit []*member) (undo func()) { return fillDisk(p, hit, 0) }

// fillDisk fills the disks of members but for some bytes.
func fillDisk(p *plan, hit []*member, leave int64) (undo func()) {
	var undoes []func()
	for _, m := range hit {
		undoes = append(undoes, fill(p.t, m.dir, leave))
	}
	return func() {
		for _, undo := range undoes {
			undo()
		}
	}
}

// pileUp fills the disks with messages that nobody consumes, until no more are taken, and
// then has them consumed: publishing has to resume while the disks are as small as before.
func pileUp(p *plan, hit []*member) (undo func()) {
	room := fillDisk(p, hit, pileBytes)
	p.w.hold()
	if err := p.w.flood(p.s.others(hit...)[0], floodTime); err != nil {
		p.t.Error(err)
	}
	p.w.goOn()
	if err := p.w.awaitPublishing(p.s.members, floodTime); err != nil {
		p.t.Errorf("all is consumed, and yet: %v", err)
	}
	return room
}

// fillAndKill kills members on full disks, which are started there, and have room later.
func fillAndKill(p *plan, hit []*member) (undo func()) {
	room := fillUp(p, hit)
	time.Sleep(p.upTo(2 * time.Second))
	start := kill(p, hit)
	return func() {
		start()
		time.Sleep(p.upTo(time.Second))
		room()
	}
}
