package diskqueue

import (
	"errors"
	"maps"
	"slices"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"qmq/internal/seqset"
	"qmq/internal/vfs/crashfs"
	"qmq/message"
)

// model is what a log ought to hold.
type model struct {
	fs      *crashfs.FS
	node    *node
	log     *Log
	readers []*Reader

	bodies    map[uint64]string // all that was appended and not taken back
	count     int
	synced    uint64
	reclaimed uint64
	opened    uint64 // what is below was there when the log was opened
	// risked was written but not synced when a sync failed, and stays: the
	// kernel calls it synced from then on, whoever asks.
	risked map[uint64]bool
	// givenUp was left out of a carry segment.
	givenUp map[uint64]string
	carried uint64 // what is below was up to a carry
}

// Any sequence of operations leaves what a list in memory would hold.
func TestLogHoldsWhatAListWould(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{fs: crashfs.New(rapid.Uint64().Draw(t, "chance")), bodies: make(map[uint64]string), risked: make(map[uint64]bool), givenUp: make(map[uint64]string)}
		m.node = newNode(m.fs)
		m.node.log.SegmentBytes = rapid.Int64Range(200, 5000).Draw(t, "segment bytes")
		m.node.log.HotMessages = rapid.SampledFrom([]int{0, 1, 10, 1000}).Draw(t, "hot messages")
		m.node.shared.HotBytes = rapid.SampledFrom([]int64{1, 8 << 10, 1 << 20}).Draw(t, "hot bytes")
		m.node.shared.CacheBytes = rapid.SampledFrom([]int64{1, 10 << 10, 1 << 20}).Draw(t, "cache bytes")
		m.node.shared.OpenFiles = rapid.IntRange(1, 4).Draw(t, "open files")
		m.node.shared.RecycleFiles = rapid.IntRange(1, 3).Draw(t, "recycled files")
		m.start(t)
		t.Repeat(map[string]func(*rapid.T){
			"":            m.check,
			"append":      m.append,
			"append more": m.append,
			"sync":        m.sync,
			"trim":        func(t *rapid.T) { m.log.TrimHot(m.position(t)) },
			"reclaim":     m.reclaim,
			"carry":       m.carry,
			"read":        m.read,
			"read on":     m.readOn,
			"close":       m.close,
			"kill":        m.kill,
			"power loss":  m.powerLoss,
			"full disk":   m.fullDisk,
			"failed sync": m.failedSync,
		})
		for _, r := range m.readers {
			r.Release()
		}
		wantOwned(t, m.log)
	})
}

func (m *model) start(t *rapid.T) Recovery {
	m.node.shared.FS = m.fs.Mount()
	var rec Recovery
	m.log, rec = m.node.open(t)
	m.opened = m.log.End()
	m.readers = []*Reader{m.log.NewReader(), m.log.NewReader(), m.log.NewReader()}
	if max := m.highest(); m.opened <= max {
		t.Fatalf("goes on at %d, %d was given out", m.opened, max)
	}
	return rec
}

func (m *model) highest() (seq uint64) {
	for s := range m.bodies {
		seq = max(seq, s)
	}
	return seq
}

// position draws a number about those that the log holds.
func (m *model) position(t *rapid.T) uint64 {
	seqs := make([]uint64, 0, len(m.bodies))
	for s := range m.bodies {
		seqs = append(seqs, s)
	}
	slices.Sort(seqs)
	seqs = append(seqs, m.log.End(), m.log.End()+1)
	return seqs[rapid.IntRange(0, len(seqs)-1).Draw(t, "position")]
}

func (m *model) batches(t *rapid.T) (list []*Batch, bodies []string) {
	for range rapid.IntRange(1, 3).Draw(t, "batches") {
		b := new(Batch)
		many := rapid.Bool().Draw(t, "mpub")
		if many {
			b.BeginMulti()
		}
		for range rapid.IntRange(1, 4).Draw(t, "messages") {
			body := bodyOf(m.count, rapid.SampledFrom([]int{0, 10, 100, 1000, 20000}).Draw(t, "size"))
			m.count++
			b.Add(&message.Meta{Timestamp: testTime}, body)
			bodies = append(bodies, string(body))
		}
		if many {
			b.EndMulti()
		}
		list = append(list, b)
	}
	return list, bodies
}

func (m *model) append(t *rapid.T) {
	list, bodies := m.batches(t)
	end := m.log.End()
	done := mustAppend(t, m.log, list...)
	if done.First != end || done.End != end+uint64(len(bodies)) {
		t.Fatalf("Append returned %+v", done)
	}
	for i, b := range bodies {
		m.bodies[end+uint64(i)] = b
	}
}

func (m *model) sync(t *rapid.T) {
	if _, err := m.log.Sync(); err != nil {
		t.Fatalf("Sync: %v", err)
	}
	m.synced = m.log.End()
}

func (m *model) reclaim(t *rapid.T) {
	seq := m.position(t)
	m.log.Reclaim(seq)
	m.reclaimed = max(m.reclaimed, min(seq, m.log.End()))
	if m.log.Start() > m.reclaimed && len(m.log.list()) > 0 && m.log.list()[0].end <= seq {
		t.Fatalf("starts at %d after Reclaim(%d)", m.log.Start(), seq)
	}
	m.forgetReclaimed()
}

// carry keeps some of the messages of adjacent full segments.
func (m *model) carry(t *rapid.T) {
	full := slices.DeleteFunc(m.log.Extents(), func(e Extent) bool { return !e.Full })
	if len(full) == 0 {
		return
	}
	from := rapid.IntRange(0, len(full)-1).Draw(t, "first")
	to := rapid.IntRange(from+1, len(full)).Draw(t, "end")
	var numbers, keep []seqset.Range
	for _, e := range full[from:to] {
		numbers = append(numbers, e.Numbers)
		for _, seq := range slices.Sorted(maps.Keys(m.bodies)) {
			if e.Numbers.From <= seq && seq < e.Numbers.To && rapid.Bool().Draw(t, "keep") {
				keep = append(keep, seqset.Range{From: seq, To: seq + 1})
			}
		}
	}
	must := func(err error) {
		if err != nil {
			t.Fatalf("Carry: %v", err)
		}
	}
	must(m.log.Carry(numbers, keep, func(gaps []seqset.Range) error {
		for seq := range m.bodies {
			if seqset.Meets(gaps, seqset.Range{From: seq, To: seq + 1}) {
				m.givenUp[seq] = m.bodies[seq]
				delete(m.bodies, seq)
			}
		}
		return nil
	}))
	m.carried = max(m.carried, numbers[len(numbers)-1].To)
	for _, k := range keep { // it was synced
		for seq := k.From; seq < k.To; seq++ {
			delete(m.risked, seq)
		}
	}
}

func (m *model) forgetReclaimed() {
	for s := range m.bodies {
		if s < m.log.Start() && s < m.reclaimed {
			delete(m.bodies, s)
		}
	}
}

func (m *model) reader(t *rapid.T) *Reader {
	return m.readers[rapid.IntRange(0, len(m.readers)-1).Draw(t, "reader")]
}

func (m *model) read(t *rapid.T) { m.wantAt(t, m.reader(t), m.position(t)) }

func (m *model) readOn(t *rapid.T) {
	r, at := m.reader(t), m.position(t)
	for seq := at; seq < at+20; seq++ {
		m.wantAt(t, r, seq)
	}
	if rapid.Bool().Draw(t, "release") {
		r.Release()
	}
}

func (m *model) wantAt(t *rapid.T, r *Reader, seq uint64) {
	v, err := r.Read(seq)
	body, ok := m.bodies[seq]
	switch {
	case ok && (err != nil || v.Seq != seq || string(v.Body) != body):
		t.Fatalf("message %d is %d %.20q, %v, want %.20q", seq, v.Seq, v.Body, err, body)
	case !ok && err == nil && string(v.Body) == m.givenUp[seq]: // it is in memory yet
	case !ok && seq >= m.log.Start() && !errors.Is(err, ErrNotFound):
		t.Fatalf("message %d is %.20q, %v, there is none", seq, v.Body, err)
	}
}

func (m *model) close(t *rapid.T) {
	m.leave()
	mustClose(t, m.log)
	m.synced = m.log.End()
	k := m.node.check(t)
	// What a loss of power brought back may be found to be foreign or misplaced.
	if n := uint64(len(m.bodies)); k.Records < n || k.Records > n && len(k.Findings) == 0 {
		t.Fatalf("Check counts %d messages, there are %d", k.Records, len(m.bodies))
	}
	if rec := m.start(t); !slices.Equal(told(k.Findings), told(rec.Findings)) {
		t.Fatalf("Check finds %v, Open %v", told(k.Findings), told(rec.Findings))
	}

}

func (m *model) leave() {
	for _, r := range m.readers {
		r.Release()
	}
}

func (m *model) kill(t *rapid.T) {
	m.leave()
	m.fs.Kill()
	m.start(t)
}

// powerLoss may take what was not synced, and bring back what was reclaimed.
func (m *model) powerLoss(t *rapid.T) {
	m.leave()
	m.fs.Crash(crashfs.DropAll)
	m.start(t)
	found := contents(t, m.log)
	for seq, body := range m.bodies {
		if _, ok := found[seq]; !ok && (seq >= m.synced || m.risked[seq]) {
			delete(m.bodies, seq)
		} else if found[seq] != body {
			t.Fatalf("message %d is %.20q, want %.20q; synced is what is below %d", seq, found[seq], body, m.synced)
		}
	}
	for seq := range found {
		if _, ok := m.bodies[seq]; !ok && seq >= m.reclaimed {
			t.Fatalf("message %d %.20q was never there", seq, found[seq])
		}
	}
	m.log.Reclaim(m.reclaimed)
	m.forgetReclaimed()
	for seq, body := range contents(t, m.log) {
		m.bodies[seq] = body
	}
	m.sync(t)
}

func (m *model) fullDisk(t *rapid.T) {
	list, bodies := m.batches(t)
	end := m.log.End()
	m.fs.Limit(m.fs.Used() + rapid.Int64Range(0, 500).Draw(t, "room"))
	_, err := m.log.Append(list)
	m.fs.Limit(-1)
	if err == nil { // a recycled file takes no room
		for i, b := range bodies {
			m.bodies[end+uint64(i)] = b
		}
	} else if !errors.Is(err, syscall.ENOSPC) || m.log.End() != end {
		t.Fatalf("Append: %v, the log ends at %d, want %d", err, m.log.End(), end)
	}
}

// failedSync takes back what was not synced, as strict mode does, in which nothing
// is carried that could still be taken back.
func (m *model) failedSync(t *rapid.T) {
	if m.carried > max(m.synced, m.opened) {
		return
	}
	failNext(m.fs, 1, crashfs.OpSync)
	_, err := m.log.Sync()
	m.fs.Fail(nil)
	if err == nil {
		m.synced = m.log.End()
		return
	}
	m.log.Rewind()
	for seq := range m.bodies {
		if seq >= m.log.End() {
			delete(m.bodies, seq)
		} else if seq >= m.synced {
			m.risked[seq] = true
		}
	}
	if end := m.log.End(); end < min(m.synced, m.opened) || end < m.opened {
		t.Fatalf("rewound to %d, synced was all below %d, there at the start all below %d", end, m.synced, m.opened)
	}
	if err := m.log.Probe(100); err != nil {
		t.Fatalf("Probe: %v", err)
	}
}

// check looks at everything.
func (m *model) check(t *rapid.T) {
	r := m.log.NewReader()
	defer r.Release()
	for seq := range m.bodies {
		m.wantAt(t, r, seq)
	}
	if used, limit := m.log.shared.hot.used.Load(), m.log.shared.hot.limit; used > limit {
		t.Fatalf("the hot tail takes %d bytes of %d", used, limit)
	}
	wantFilesOpen(t, m.log, m.node.shared.OpenFiles)
}
