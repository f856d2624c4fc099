package broker

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"qmq/diskqueue"
	"qmq/internal/seqset"
)

// DamageKind is what a finding is about. The names are part of /stats.
type DamageKind string

// The kinds of findings.
const (
	// UnknownDirectory: a directory of a topic that the journal does not know
	// is kept and not served.
	UnknownDirectory DamageKind = "unknown_directory"
	// Reconstructed: the journal had lost a topic or channel, which was made
	// again from what else tells of it.
	Reconstructed DamageKind = "reconstructed"
	// Unopenable: a topic's log cannot be opened; the topic is not served.
	Unopenable DamageKind = "unopenable"
	// DamagedRecords, UnreadableRecords and MissingRecords: messages that were
	// stored and do not verify, cannot be read, or are in no segment any more.
	DamagedRecords    = DamageKind(diskqueue.Damaged)
	UnreadableRecords = DamageKind(diskqueue.Unreadable)
	MissingRecords    = DamageKind(diskqueue.Missing)
	// DamagedHeader: a segment's header was damaged; it is served all the same.
	DamagedHeader = DamageKind(diskqueue.HeaderDamaged)
	// MisplacedFile: a segment has the name of another; it is served all the same.
	MisplacedFile = DamageKind(diskqueue.Misplaced)
	// ForeignFile: a segment file that is not the topic's is left alone.
	ForeignFile = DamageKind(diskqueue.Foreign)
	// Inconsistent: a log, or the journal, contradicts itself. Only Check finds it.
	Inconsistent = DamageKind(diskqueue.Inconsistent)
	// DamagedMetadata: metadata.json cannot be read. Only Check finds it.
	DamagedMetadata DamageKind = "metadata"
	// DamagedJournal: a part of the journal cannot be read or is missing.
	DamagedJournal DamageKind = "journal"
	// DamagedRaftLog, DamagedCheckpoint and DamagedMember: of a member of a replicated set
	// votes and entries, a shard's checkpoint, or who it is and who the others are, is
	// damaged or missing. Only Check finds them.
	DamagedRaftLog    DamageKind = "raft_log"
	DamagedCheckpoint DamageKind = "checkpoint"
	DamagedMember     DamageKind = "member"
)

// lasting says of a kind that it is found again at each start, for as long as
// it is so.
func (k DamageKind) lasting() bool { return k == UnknownDirectory || k == Unopenable }

// ofLog says of a kind that it may be found again for as long as there is the
// topic.
func (k DamageKind) ofLog() bool {
	return k == DamagedRecords || k == UnreadableRecords || k == MissingRecords ||
		k == DamagedHeader || k == MisplacedFile || k == ForeignFile
}

// Finding is something amiss that was found on the disk. It is kept, over
// restarts too, until it is acknowledged.
type Finding struct {
	// ID is the same when the same is found again.
	ID string `json:"id"`
	// Number grows from one finding to the next, over restarts too.
	Number  uint64     `json:"number"`
	Kind    DamageKind `json:"kind"`
	Topic   string     `json:"topic,omitempty"`
	Channel string     `json:"channel,omitempty"`
	// From and To (exclusive) are sequence numbers.
	From     uint64 `json:"from,omitempty"`
	To       uint64 `json:"to,omitempty"`
	Messages uint64 `json:"messages,omitempty"` // that are lost
	Bytes    int64  `json:"bytes,omitempty"`    // of the journal
	Path     string `json:"path,omitempty"`     // of the file or directory
	Copy     string `json:"copy,omitempty"`     // where damaged bytes are kept
	Time     int64  `json:"time"`               // s since 1970, when it was found first
	Text     string `json:"text"`
}

// DamageSum counts findings of one kind.
type DamageSum struct {
	Kind     DamageKind `json:"kind"`
	Findings uint64     `json:"findings"`
	Messages uint64     `json:"messages,omitempty"`
	Bytes    int64      `json:"bytes,omitempty"`
}

func (s *DamageSum) add(f *Finding) {
	s.Findings++
	s.Messages += f.Messages
	s.Bytes += f.Bytes
}

// Damage is what was found amiss and not acknowledged. The node goes on without
// it, so it does not make the node unhealthy.
type Damage struct {
	Messages     uint64    // that are lost
	JournalBytes int64     // what they said of channels is delivered again
	Findings     []Finding // the newest, newest first
	Older        []DamageSum
	Last         uint64 // the highest number of a finding
}

// None says that nothing is amiss.
func (d Damage) None() bool { return len(d.Findings) == 0 && len(d.Older) == 0 }

const (
	// maxFindings bounds the findings of lost records and the like that are
	// kept one by one; older ones are only counted.
	maxFindings = 256
	// maxListed bounds the findings in Damage.
	maxListed = 100
)

// register keeps the findings. Its lock is taken last.
type register struct {
	now     func() int64 // wall clock, ns
	changed func()

	mu           sync.Mutex // guards what follows
	last         uint64     // number of a finding
	findings     []*Finding // ascending numbers
	counted      []DamageSum
	countedTo    uint64 // the highest number among those
	acknowledged map[string]bool
	// found are the IDs that this start found, nil once it is over; told the numbers
	// of lost messages that logs told of, by incarnation.
	found map[string]bool
	told  map[uint64]*seqset.Set
}

func newRegister(now func() int64, changed func()) *register {
	return &register{
		now: now, changed: changed, acknowledged: make(map[string]bool),
		found: make(map[string]bool), told: make(map[uint64]*seqset.Set),
	}
}

// novelty is what the register knew of a finding before.
type novelty int

const (
	news         novelty = iota // to this process
	repeated                    // this process has found it before
	acknowledged                // by somebody, for good
)

// add takes a finding in, unless it is there or was acknowledged. One that goes
// on where another ended becomes a part of that.
func (r *register) add(f Finding) (was novelty) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.found[f.ID] {
		was = repeated
	}
	if r.found != nil {
		r.found[f.ID] = true
	}
	if r.acknowledged[f.ID] {
		return acknowledged
	}
	if old := r.continued(&f); old != nil {
		old.To, old.Messages = max(old.To, f.To), old.Messages+f.Messages
	} else if i := r.index(f.ID); i >= 0 {
		old := r.findings[i]
		f.Number, f.Time = old.Number, old.Time
		*old = f
	} else {
		now := r.now()
		r.last = max(r.last+1, uint64(now/int64(time.Microsecond)))
		f.Number, f.Time = r.last, now/int64(time.Second)
		r.findings = append(r.findings, &f)
		r.bound()
	}
	r.changed()
	return was
}

// tell notes that a log told of lost messages.
func (r *register) tell(incarnation uint64, lost seqset.Range) {
	r.mu.Lock()
	defer r.mu.Unlock()
	set := r.told[incarnation]
	if set == nil {
		set = seqset.New(0)
		r.told[incarnation] = set
	}
	set.AddRange(lost.From, lost.To)
}

// forget drops what was noted of a topic that is gone.
func (r *register) forget(incarnation uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.told, incarnation)
}

// wasTold says whether a log told of the message.
func (r *register) wasTold(incarnation uint64, seq uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	set := r.told[incarnation]
	return set != nil && set.Contains(seq)
}

// continued is the newest finding if f goes on where that ends.
func (r *register) continued(f *Finding) *Finding {
	if len(r.findings) == 0 || f.Kind != MissingRecords {
		return nil
	}
	last := r.findings[len(r.findings)-1]
	same := last.Kind == f.Kind && last.Topic == f.Topic && last.Path == f.Path && f.Copy == ""
	if same && f.From == last.To {
		return last
	}
	return nil
}

func (r *register) index(id string) int {
	return slices.IndexFunc(r.findings, func(f *Finding) bool { return f.ID == id })
}

// bound counts what is too old to be kept. What lasts is kept: there is only as
// much of it as there is on the disk.
func (r *register) bound() {
	n := 0
	for _, f := range r.findings {
		if !f.Kind.lasting() {
			n++
		}
	}
	r.findings = slices.DeleteFunc(r.findings, func(f *Finding) bool {
		if n <= maxFindings || f.Kind.lasting() {
			return false
		}
		n--
		r.counted, r.countedTo = count(r.counted, f), f.Number
		return true
	})
}

func count(sums []DamageSum, f *Finding) []DamageSum {
	i := slices.IndexFunc(sums, func(s DamageSum) bool { return s.Kind == f.Kind })
	if i < 0 {
		i = len(sums)
		sums = append(sums, DamageSum{Kind: f.Kind})
	}
	sums[i].add(f)
	return sums
}

// resolve takes a finding out that is not so any more.
func (r *register) resolve(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.found, id)
	if i := r.index(id); i >= 0 {
		r.findings = slices.Delete(r.findings, i, i+1)
		r.changed()
	}
}

// damage is what the register holds, of findings up to a number.
func (r *register) damage(until uint64) Damage {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := Damage{Last: r.last}
	if r.countedTo <= until {
		d.Older = slices.Clone(r.counted)
	}
	for _, f := range slices.Backward(r.findings) {
		switch {
		case f.Number > until:
		case len(d.Findings) < maxListed:
			d.Findings = append(d.Findings, *f)
			d.Messages += f.Messages
			d.JournalBytes += f.Bytes
		default:
			d.Older = count(d.Older, f)
		}
	}
	for _, s := range d.Older {
		d.Messages += s.Messages
		d.JournalBytes += s.Bytes
	}
	slices.SortFunc(d.Older, func(a, b DamageSum) int { return cmp.Compare(a.Kind, b.Kind) })
	return d
}

// knows says whether there is such a finding, acknowledged or not.
func (r *register) knows(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.acknowledged[id] || r.index(id) >= 0
}

// ids lists the findings up to a number.
func (r *register) ids(until uint64) (ids []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.findings {
		if f.Number <= until {
			ids = append(ids, f.ID)
		}
	}
	return ids
}

// acknowledge takes findings up to a number out for good.
func (r *register) acknowledge(until uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.findings = slices.DeleteFunc(r.findings, func(f *Finding) bool {
		if f.Number > until {
			return false
		}
		r.acknowledged[f.ID] = true
		return true
	})
	if r.countedTo <= until {
		r.counted, r.countedTo = nil, 0
	}
	r.changed()
}

// restore begins with what an earlier process found and what was acknowledged
// since. What lasts will be found again, or is not so any more.
func (r *register) restore(was damageFile, acknowledged map[string]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last, r.counted, r.countedTo, r.acknowledged = was.Last, was.Counted, was.CountedTo, acknowledged
	for _, f := range was.Findings {
		if acknowledged[f.ID] {
			r.changed() // the last process ended before it had written that
			continue
		}
		r.findings = append(r.findings, &f)
	}
}

// forgetUnneeded ends a start, at which everything that lasts was found: it forgets
// what is not so any more, and returns the acknowledgements that nothing can
// need again. known says whether there is a topic of an incarnation.
func (r *register) forgetUnneeded(known func(incarnation string) bool) (forgotten []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := len(r.findings)
	r.findings = slices.DeleteFunc(r.findings, func(f *Finding) bool { return f.Kind.lasting() && !r.found[f.ID] })
	if len(r.findings) != before {
		r.changed()
	}
	for id := range r.acknowledged {
		kind, rest, _ := strings.Cut(id, "/")
		incarnation, _, _ := strings.Cut(rest, "/")
		if !r.found[id] && !(DamageKind(kind).ofLog() && known(incarnation)) {
			forgotten = append(forgotten, id)
			delete(r.acknowledged, id)
		}
	}
	r.found = nil
	slices.Sort(forgotten)
	return forgotten
}

// findingID names a finding about a topic.
func findingID(kind DamageKind, incarnation uint64, rest ...any) string {
	id := fmt.Sprintf("%s/%016x", kind, incarnation)
	for _, part := range rest {
		id += fmt.Sprintf("/%v", part)
	}
	return id
}
