package replica

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"qmq/replica/machine"
)

// world is a set of members in virtual time, in one goroutine. What happens
// comes from the seed alone.
type world struct {
	simOptions
	rng    *rand.Rand
	now    time.Duration
	events simEvents
	nodes  []*simNode // by slot: whoever has the place's member id now
	ids    map[uint64]*simNode
	net    simNet
	plans  []*plan
	faults faults
	ending bool
	lastID uint64
	served *served // nil: topics are not served

	truth truth
	trace []string
	err   error
}

type simOptions struct {
	seed      uint64
	slots     int
	kernel    bool // acknowledge after the write, sync behind it
	contested bool // slow links, so that many stand at once, and voters that are killed
	whole     bool // with the node's log and machine, on a file system that crashes
	serves    bool // whole, with topics that are published to and consumed
	bugs      bugs
}

// simEvent happens at a time; of those at the same time the first that was
// planned.
type simEvent struct {
	at   time.Duration
	turn int
	run  func()
}

type simEvents struct {
	list  []simEvent
	turns int
}

func (e *simEvents) Len() int { return len(e.list) }
func (e *simEvents) Less(i, k int) bool {
	a, b := e.list[i], e.list[k]
	return a.at < b.at || a.at == b.at && a.turn < b.turn
}
func (e *simEvents) Swap(i, k int) { e.list[i], e.list[k] = e.list[k], e.list[i] }
func (e *simEvents) Push(v any)    { e.list = append(e.list, v.(simEvent)) }
func (e *simEvents) Pop() any {
	last := len(e.list) - 1
	v := e.list[last]
	e.list[last] = simEvent{}
	e.list = e.list[:last]
	return v
}

func (w *world) after(d time.Duration, run func()) {
	w.events.turns++
	heap.Push(&w.events, simEvent{w.now + d, w.events.turns, run})
}

// between is a random time.
func (w *world) between(from, to time.Duration) time.Duration {
	return from + time.Duration(w.rng.Int64N(int64(to-from)+1))
}

func (w *world) chance(p float64) bool { return w.rng.Float64() < p }

// run lets events happen until the time or the first failure.
func (w *world) run(until time.Duration) {
	for w.err == nil && w.await(until) {
		e := heap.Pop(&w.events).(simEvent)
		w.now = e.at
		e.run()
	}
	w.now = until
}

// await tells whether there is another event by then. Where topics are served it waits
// for it.
func (w *world) await(until time.Duration) bool {
	for w.err == nil {
		if w.served != nil {
			w.served.settle()
		}
		at, there := until, false
		if w.events.Len() > 0 && w.events.list[0].at <= until {
			at, there = w.events.list[0].at, true
		}
		if w.served == nil || w.served.sleep(at) {
			return there
		}
	}
	return false
}

// fail keeps the first thing that is wrong.
func (w *world) fail(format string, v ...any) {
	if w.err == nil {
		w.log("FAILED: "+format, v...)
		w.err = fmt.Errorf(format, v...)
	}
}

// log keeps the last few things that happened, to be shown with a failure.
func (w *world) log(format string, v ...any) {
	if len(w.trace) == 4000 {
		w.trace = slices.Delete(w.trace, 0, 2000)
	}
	w.trace = append(w.trace, fmt.Sprintf("%8.1fms ", float64(w.now)/1e6)+fmt.Sprintf(format, v...))
}

func (w *world) tail(n int) string { return strings.Join(w.trace[max(0, len(w.trace)-n):], "\n") }

// simNet loses, doubles and delays messages.
type simNet struct {
	cut  map[[2]int]bool // from slot, to slot: nothing gets through
	loss float64
}

// send brings something to the member, or does not.
func (w *world) send(from *simNode, to uint64, arrive func(*simNode)) {
	target := w.ids[to]
	if target == nil || w.net.cut[[2]int{from.slot, target.slot}] {
		return
	}
	copies := 1
	if w.chance(w.net.loss) {
		copies = w.rng.IntN(2) * 2
	}
	for range copies {
		delay := w.between(50*time.Microsecond, time.Millisecond)
		if w.contested {
			delay = w.between(time.Millisecond, 60*time.Millisecond)
		}
		if w.chance(w.net.loss / 2) {
			delay += w.between(0, 200*time.Millisecond)
		}
		life := target.life
		w.after(delay, func() {
			if target.life == life {
				target.do(func() { arrive(target) })
			}
		})
	}
}

// truth is what was applied anywhere, and what must hold of it.
type truth struct {
	history []committed // from entry 2 on
	commits []commit    // likewise, and sooner
	rows    map[uint64]origin
	applied map[origin]bool
	okayed  int
	floor   uint64
	leaders int
	repeats int
}

type committed struct {
	term, hash uint64
	data       string
}

func (c committed) String() string {
	return fmt.Sprintf("term %d, what it did %x, %d bytes %x", c.term, c.hash, len(c.data), c.data[:min(len(c.data), 32)])
}

// commit is the term of an entry, and the one in which it was committed.
type commit struct{ term, in uint64 }

const firstEntry = 2

// checkApplied holds what a member applied against what others did.
func (w *world) checkApplied(n *simNode, data []byte, out any) {
	m, tr := n.machine.now(), &w.truth
	c := committed{m.term, m.hash, string(data)}
	at := int(m.index - firstEntry)
	switch {
	case at < 0 || at > len(tr.history):
		w.fail("member %d applies entry %d after %d entries", n.id, m.index, len(tr.history))
		return
	case at < len(tr.history):
		if tr.history[at] != c {
			w.fail("member %d applies another entry %d than others, or otherwise: %v, not %v", n.id, m.index, c, tr.history[at])
		}
		return
	}
	tr.history = append(tr.history, c)
	if at >= len(tr.commits) || tr.commits[at].term != c.term {
		w.fail("member %d applies entry %d, which no leader has committed", n.id, m.index)
	}
	if len(data) == 0 {
		w.checkMembers(m.members)
		return
	}
	if w.served != nil {
		w.served.agreed(m.index, data, out.(machine.Outcome))
		return
	}
	e, o := decodeSimEntry(data), out.(simOutcome)
	for i, p := range e.parts {
		w.checkPart(p, o.parts[i])
	}
	if o.moved {
		if e.floor < tr.floor {
			w.fail("entry %d moves the floor back from %d to %d", m.index, tr.floor, e.floor)
		}
		tr.floor = e.floor
	}
}

// checkPart wants numbers applied once and in order, and duplicates to be some.
func (w *world) checkPart(p origin, s partStatus) {
	tr := &w.truth
	row := tr.rows[p.member]
	switch s {
	case partApplied:
		if tr.applied[p] {
			w.fail("batch %v is applied twice", p)
		}
		if p.epoch == row.epoch && p.number != row.number+1 || p.epoch != row.epoch && p.number != 1 || p.epoch < row.epoch {
			w.fail("batch %v is applied after %v", p, row)
		}
		tr.rows[p.member], tr.applied[p] = p, true
	case partDuplicate:
		tr.repeats++
		if !tr.applied[p] {
			w.fail("batch %v is called a duplicate and was never applied", p)
		}
	}
}

// checkMembers wants a set that can lose as many members as it could at first.
func (w *world) checkMembers(members *pb.ConfState) {
	if len(members.GetVoters()) < w.slots {
		w.fail("members %v: fewer voters than %d", members.Voters, w.slots)
	}
}

// okay notes that a publisher was told OK.
func (w *world) okay(p origin) {
	w.truth.okayed++
	if !w.truth.applied[p] {
		w.fail("batch %v is OK'd and was never applied", p)
	}
}

// committed notes what a leader knows to be committed.
func (w *world) committed(n *simNode) {
	for i := uint64(len(w.truth.commits)) + firstEntry; i <= n.core.commit; i++ {
		w.truth.commits = append(w.truth.commits, commit{n.shadow.term(i), n.core.term})
	}
}

// checkLeader wants a new leader to have all that was committed in earlier terms.
func (w *world) checkLeader(n *simNode, term uint64) {
	w.truth.leaders++
	commits := w.truth.commits
	at := len(commits) - 1
	for at >= 0 && commits[at].in >= term {
		at--
	}
	if at < 0 {
		return
	}
	index := uint64(at) + firstEntry
	if has := n.shadow.term(index); has != commits[at].term {
		w.fail("member %d leads in term %d without entry %d of term %d (has term %d there, last %d)",
			n.id, term, index, commits[at].term, has, n.shadow.last())
	}
}

// term is that of an entry; what is before the log was there.
func (s logState) term(index uint64) uint64 {
	switch {
	case index == s.base.GetIndex():
		return s.base.GetTerm()
	case index < s.first() || index > s.last():
		return 0
	}
	return s.entries[index-s.first()].GetTerm()
}

func newWorld(o simOptions) *world {
	w := &world{
		simOptions: o, rng: rand.New(rand.NewPCG(o.seed, 1)), nodes: make([]*simNode, o.slots), ids: make(map[uint64]*simNode),
		net:    simNet{cut: make(map[[2]int]bool), loss: 0.01},
		faults: faults{damaged: make(map[int]bool), rotten: make(map[int]uint64)},
		truth:  truth{rows: make(map[uint64]origin), applied: make(map[origin]bool)},
	}
	if w.chance(0.3) {
		w.net.loss = 0.1
	}
	if o.serves {
		w.served = newServed(w)
	}
	var voters []uint64
	for slot := range o.slots {
		w.lastID++
		voters = append(voters, w.lastID)
		w.newNode(slot, w.lastID).knows.Store(true)
	}
	for _, n := range w.nodes {
		n.start(voters, false)
	}
	w.operate()
	w.checkpoints()
	w.afterFault()
	return w
}

// checkpoints has members make some.
func (w *world) checkpoints() {
	w.after(w.between(50*time.Millisecond, time.Second), func() {
		if n := w.nodes[w.rng.IntN(w.slots)]; n.up() && !n.machine.isFull() {
			n.do(n.checkpoint)
		}
		w.checkpoints()
	})
}

// heal ends all faults; what is being repaired goes on.
func (w *world) heal() {
	clear(w.net.cut)
	w.net.loss = 0
}

// settled tells whether all members have applied the same and every publisher
// knows the fate of what it sent.
func (w *world) settled() bool {
	if len(w.plans) > 0 {
		return false
	}
	if w.served != nil && w.served.open() != "" {
		return false
	}
	last := uint64(len(w.truth.history)) + firstEntry - 1
	leaders := 0
	for _, n := range w.nodes {
		if !n.up() || n.machine.now().index != last && w.served == nil || len(n.producer.unsure) > 0 {
			return false
		}
		if n.leads() {
			leaders++
		}
	}
	return leaders == 1
}

func (w *world) describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d entries, plans %d", len(w.truth.history), len(w.plans))
	if w.served != nil {
		fmt.Fprintf(&b, ", open: %s", w.served.open())
	}
	for _, n := range w.nodes {
		fmt.Fprintf(&b, "; member %d up %v applied %d unsure %d", n.id, n.up(), n.machine.now().index, len(n.producer.unsure))
		if n.core != nil {
			fmt.Fprintf(&b, " %v term %d leader %d last %d commit %d held %v", role(n.core.role), n.core.term, n.core.leader, n.core.last, n.core.commit, n.core.hold.on)
			for id, p := range n.core.node.Status().Progress {
				fmt.Fprintf(&b, " %d:%v", id, p.String())
			}
		}
	}
	return b.String()
}
