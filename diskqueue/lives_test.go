package diskqueue

import (
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"

	"qmq/internal/seqset"
	"qmq/internal/vfs/crashfs"
	"qmq/message"
)

// lore is what the journal of a log's owner knows of it.
type lore struct {
	givenUp         []seqset.Range
	synced, written uint64
}

func (k lore) and(more lore) lore {
	return lore{seqset.Union(k.givenUp, more.givenUp), max(k.synced, more.synced), max(k.written, more.written)}
}

// lives is a log over many lives of its process and its machine, and the journal that is kept
// of it as topics keep theirs.
type lives struct {
	fs *crashfs.FS
	n  *node
	r  *rand.Rand

	durable lore   // in the journal, whatever comes
	untold  []lore // in the journal, and lost with the power from some on
	start   uint64
	same    bool // a start since the power was lost is complete, and the journal knows
	ended   bool // this life is
	cut     bool // power was lost since the last start

	bodies map[uint64]string // all that was ever given to Append
	failed map[string]bool   // of them, those for which there was no room
	multis []seqset.Range    // of them, those of one MPUB each
	owed   map[uint64]bool   // has to be there, whatever comes
	here   map[uint64]bool   // has to be there unless the power is lost
	gone   []seqset.Range    // reclaimed
	count  int
	opened uint64 // where the log went on in this life
}

func newLives(seed uint64) *lives {
	v := &lives{
		fs: crashfs.New(seed), r: rand.New(rand.NewPCG(seed, 7)),
		bodies: make(map[uint64]string), failed: make(map[string]bool), owed: make(map[uint64]bool), here: make(map[uint64]bool),
	}
	v.n = newNode(v.fs.Mount()).cold()
	v.n.log.SegmentBytes = 400 + v.r.Int64N(2000)
	v.n.shared.RecycleFiles = v.r.IntN(4)
	v.n.shared.OpenFiles = 1 + v.r.IntN(4)
	return v
}

// tell has the journal know more, while the process lives.
func (v *lives) tell(k lore) {
	if !v.ended {
		v.untold = append(v.untold, k)
	}
}

func (v *lives) journalDurable() {
	for _, k := range v.untold {
		v.durable = v.durable.and(k)
	}
	v.untold = nil
}

// known is what the next start is told.
func (v *lives) known() Expected {
	k := v.durable
	for _, more := range v.untold {
		k = k.and(more)
	}
	if !v.same { // which the journal forgets then
		k.written = 0
	}
	return Expected{Known: true, Start: v.start, KnownEnd: max(k.synced, k.written), GivenUp: k.givenUp, SameBoot: v.same}
}

// end ends a life: the process is killed, or the power goes.
func (v *lives) end() {
	v.ended = true
	if v.r.IntN(2) == 0 {
		v.fs.Kill()
		return
	}
	mode := crashfs.Random
	kept := v.r.IntN(len(v.untold) + 1)
	if v.r.IntN(4) == 0 {
		mode, kept = crashfs.DropAll, 0
	}
	v.fs.Crash(mode)
	v.untold = v.untold[:kept]
	v.journalDurable()
	v.durable.written = 0 // which journals forget when the machine was down
	v.same, v.cut = false, true
	v.here = maps.Clone(v.owed)
}

// live is one life, which ends at an operation by chance, or in good order.
func (v *lives) live(t tester) {
	ops := v.r.IntN(150)
	v.ended, v.cut = false, false
	v.fs.Fail(func(crashfs.Op, string) error {
		if ops--; ops == 0 {
			v.end()
		}
		return nil
	})
	v.mend(t)
	v.n.shared.FS, v.n.log.Expected = v.fs.Mount(), v.known()
	l, rec, err := v.n.tryOpen()
	if err == nil {
		v.begin(t, l, &rec, false)
		for err == nil && ops < 140 && v.r.IntN(25) > 0 {
			err = v.act(l)
		}
		if err == nil && v.sync(l) == nil {
			err = l.Close()
		}
	}
	if err != nil && !v.ended {
		t.Fatalf("%v", err)
	}
	v.fs.Fail(nil)
	if !v.ended && v.r.IntN(2) == 0 {
		v.end()
	}
}

// begin is what the owner does with what a start tells.
func (v *lives) begin(t tester, l *Log, rec *Recovery, unread bool) {
	v.opened = l.End()
	if v.start == 0 {
		v.start = l.End()
	}
	v.tell(lore{givenUp: rec.Skipped})
	v.same = v.same || !v.ended && !rec.Unread
	for _, f := range rec.Findings {
		if !unread || !errors.Is(f.Err, syscall.EIO) {
			t.Errorf("found %+v", f)
		}
	}
	for seq := range v.here {
		if seqset.Contains(rec.Skipped, seq) {
			t.Errorf("message %d is given up", seq)
		}
	}
}

// act is something that is done with a log.
func (v *lives) act(l *Log) error {
	switch v.r.IntN(10) {
	case 0, 1:
		return v.sync(l)
	case 2:
		return v.reclaim(l)
	case 3:
		l.EndSegment()
	case 4:
		v.fs.Limit(v.fs.Used() + v.r.Int64N(300))
		defer v.fs.Limit(-1)
		if err := v.append(l); !errors.Is(err, syscall.ENOSPC) {
			return err
		}
	default:
		return v.append(l)
	}
	return nil
}

func (v *lives) append(l *Log) error {
	b, at, n := new(Batch), l.End(), 1+v.r.IntN(4)
	many := v.r.IntN(2) == 0
	if many {
		b.BeginMulti()
	}
	for i := range n {
		body := bodyOf(v.count, 10+v.r.IntN(300))
		v.count++
		b.Add(&message.Meta{Timestamp: testTime}, body)
		v.bodies[at+uint64(i)] = string(body)
	}
	if many {
		b.EndMulti()
		v.multis = append(v.multis, seqset.Range{From: at, To: at + uint64(n)})
	}
	done, err := l.Append([]*Batch{b})
	if errors.Is(err, syscall.ENOSPC) { // the next one has these numbers
		for i := range n {
			v.failed[v.bodies[at+uint64(i)]] = true
		}
		v.multis = slices.DeleteFunc(v.multis, func(m seqset.Range) bool { return m.From == at })
	}
	if err != nil {
		return err
	}
	for seq := done.First; seq < done.End; seq++ {
		v.here[seq] = true
	}
	if v.r.IntN(3) == 0 {
		v.note(0, done.End)
	}
	return nil
}

// note is NoteEnd of topics.
func (v *lives) note(synced, written uint64) {
	if written <= v.opened {
		return
	}
	if synced <= v.opened {
		synced = 0
	}
	v.tell(lore{synced: synced, written: written})
}

func (v *lives) sync(l *Log) error {
	told := v.r.IntN(5) > 0
	if told {
		v.journalDurable()
	}
	end, err := l.Sync()
	for seq := range v.here {
		if err == nil && seq < end {
			v.owed[seq] = true
		}
	}
	if !told {
		v.note(0, end)
	} else {
		v.note(end, end)
	}
	return err
}

func (v *lives) reclaim(l *Log) error {
	list := l.DetachBelow(l.Start() + uint64(v.r.Int64N(int64(l.End()-l.Start())+1)))
	if len(list) == 0 {
		return nil
	}
	if v.r.IntN(6) == 0 { // and the process stops before the journal is told
		return nil
	}
	for _, d := range list {
		v.tell(lore{givenUp: []seqset.Range{d.GivenUp}})
		v.gone = seqset.Union(v.gone, []seqset.Range{d.GivenUp})
	}
	v.journalDurable()
	for _, set := range []map[uint64]bool{v.owed, v.here} {
		maps.DeleteFunc(set, func(seq uint64, _ bool) bool { return seqset.Contains(v.gone, seq) })
	}
	l.RemoveFiles(list)
	return nil
}

// look starts once more, changes nothing, and compares.
func (v *lives) look(t tester) {
	v.mend(t)
	v.n.shared.FS, v.n.log.Expected = v.fs.Mount(), v.known()
	cut := v.cut
	v.ended, v.cut = false, false
	l, rec := v.n.open(t)
	v.begin(t, l, &rec, false)
	found := contents(t, l)
	for seq, body := range found {
		if v.bodies[seq] != body && (v.owed[seq] || !v.failed[body]) {
			t.Errorf("message %d is %.20q, appended was %.20q", seq, body, v.bodies[seq])
		}
	}
	for _, seq := range slices.Sorted(maps.Keys(v.here)) {
		if _, ok := found[seq]; !ok {
			t.Errorf("message %d is lost", seq)
		}
	}
	for _, m := range v.multis {
		n := uint64(0)
		for seq := m.From; seq < m.To; seq++ {
			if body, ok := found[seq]; ok && body == v.bodies[seq] {
				n++
			}
		}
		if n > 0 && n < m.Len() && !seqset.Meets(v.gone, m) {
			t.Errorf("%d messages of the MPUB %v are there", n, m)
		}
	}
	for seq, body := range found {
		v.bodies[seq] = body // it may be one that there was no room for, and stays it then
		if seqset.Contains(v.gone, seq) {
			continue
		}
		v.here[seq] = true
		if cut { // it is on the disk
			v.owed[seq] = true
		}
	}
	v.leave(l)
}

// leave ends a life in which nothing happened.
func (v *lives) leave(l *Log) {
	l.Discard()
	v.fs.Kill()
}

// mend has the medium give everything, also of files that have another name now or that
// a loss of power brought back.
func (v *lives) mend(t tester) {
	for _, f := range v.fs.Files() {
		if err := v.fs.BadSectors(f.Name, 0, 0); err != nil {
			t.Fatalf("%v", err)
		}
	}
}

// lookBadly starts while the medium does not give everything.
func (v *lives) lookBadly(t tester) {
	files := slices.DeleteFunc(v.fs.Files(), func(f crashfs.Info) bool {
		_, ok := parseSegmentName(f.Name[1+max(0, len(testDir)):])
		return len(f.Name) <= len(testDir) || f.Name[:len(testDir)] != testDir || !ok
	})
	if len(files) == 0 {
		return
	}
	bad := files[v.r.IntN(len(files))]
	switch from := v.r.Int64N(bad.Size + 1); v.r.IntN(3) {
	case 0:
		v.fs.BadSectors(bad.Name, from, math.MaxInt64)
	case 1:
		v.fs.BadSectors(bad.Name, 0, from)
	case 2:
		v.fs.Fail(func(op crashfs.Op, name string) error {
			if op == crashfs.OpOpen && name == bad.Name {
				return syscall.EIO
			}
			return nil
		})
	}
	v.n.shared.FS, v.n.log.Expected = v.fs.Mount(), v.known()
	v.ended = false
	l, rec := v.n.open(t)
	v.begin(t, l, &rec, true)
	v.leave(l)
	v.fs.Fail(nil)
}

// In whatever order power is lost, processes are killed, files are reclaimed and used again,
// disks are full, and the medium does not give a file at one start: what was synced is there,
// what was written is there while the power is, and no start finds damage where nothing but
// power was lost, or gives up what a later one can read.
func TestManyLivesLoseNothingThatWasSynced(t *testing.T) {
	for seed := range uint64(400) {
		v := newLives(seed)
		for life := range 50 {
			v.live(t)
			if v.r.IntN(4) == 0 {
				v.lookBadly(t)
			}
			if v.r.IntN(2) == 0 {
				v.look(t)
			}
			if t.Failed() {
				t.Fatalf("life %d of seed %d", life, seed)
			}
		}
	}
}
