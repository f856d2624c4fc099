package channel

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"qmq/internal/dueheap"
	"qmq/internal/seqset"
	"qmq/message"
	"qmq/settings"
	"qmq/state"

	"pgregory.net/rapid"
)

// orderModel drives a core whose messages have keys, and holds what it gives out against
// what it has: it knows nothing of how the core keeps its order.
type orderModel struct {
	t        *rapid.T
	dice     *rand.Rand // nil when rapid draws
	c        *core
	now      int64
	fanOut   uint64
	keys     int
	holders  []*holder
	settings settings.EffectiveChannel
	voids    []seqset.Range
	delayed  []message.Mark
	st       *state.Channel
	sending  []spentMessage
	look     *look // that somebody reads
	l        limits
}

func (m *orderModel) draw(low, high int, label string) int {
	if m.dice != nil {
		return low + m.dice.IntN(high-low+1)
	}
	return rapid.IntRange(low, high).Draw(m.t, label)
}

// keyOf is the key of a message, 0 for none: keys are of very different size.
func (m *orderModel) keyOf(seq uint64) uint64 {
	if m.settings.Ordered == settings.OrderedChannel {
		return theChannel
	}
	k := scatter(seq) % uint64(m.keys*m.keys)
	for i := range uint64(m.keys) {
		if k < (i+1)*(i+1) {
			return i
		}
	}
	return uint64(m.keys) - 1
}

func (m *orderModel) priorityOf(seq uint64) uint64 { return scatter(seq) % (message.MaxPriority + 1) }

func (m *orderModel) advance() {
	from := m.fanOut
	m.fanOut += uint64(m.draw(1, 30, "new"))
	var delayed []message.Mark
	for seq := from; seq < m.fanOut; seq++ {
		if m.draw(0, 9, "delayed") == 0 {
			delayed = append(delayed, message.Mark{Seq: seq, DeliverAt: m.now/1e6 + int64(m.draw(-5, 10_000, "due")) + modelShift})
		}
	}
	m.delayed = append(m.delayed, delayed...)
	m.c.advance(m.now, m.fanOut, delayed, -modelShift)
}

func (m *orderModel) subscribe() {
	if len(m.holders) < 3 {
		h := &holder{}
		m.c.join(h, int64(m.draw(1, 10, "timeout"))*1e9)
		m.c.setCredit(h, int64(m.draw(1, 40, "rdy")), 0)
		m.holders = append(m.holders, h)
	}
}

func (m *orderModel) leave() {
	if i := m.pick(); i >= 0 {
		m.c.leave(m.holders[i])
		m.holders = slices.Delete(m.holders, i, i+1)
	}
}

// setAway has somebody be away, and perhaps somebody else claim what it has.
func (m *orderModel) setAway() {
	i := m.pick()
	if i < 0 {
		return
	}
	away := m.holders[i]
	m.c.setAway(away)
	m.unlock()
	h := &holder{}
	m.c.join(h, 5e9)
	m.c.setCredit(h, int64(m.draw(1, 40, "rdy")), 0)
	var claims Claims
	m.c.flight.each(func(_ uint32, seq uint64, e *entry) {
		if e.owner != away.index {
			return
		}
		claim := Claim{Seq: seq, Attempts: e.attempts}
		switch m.draw(0, 4, "what") {
		case 0:
		case 1:
			claims.Done = append(claims.Done, seqset.Range{From: seq, To: seq + 1})
		case 2:
			claims.Requeued = append(claims.Requeued, claim)
		default:
			claims.Held = append(claims.Held, claim)
		}
	})
	m.c.claim(h, &claims, m.now, -modelShift)
	m.unlock()
	m.c.leave(away)
	m.holders[i] = h
}

func (m *orderModel) pick() int {
	if len(m.holders) == 0 {
		return -1
	}
	return m.draw(0, len(m.holders)-1, "holder")
}

// waiting is what waits by kind, and what is under way.
type waiting struct {
	returned, due, fresh, underWay map[uint64][]uint64 // by key, ascending
}

// waiting says where the core has the messages with keys.
func (m *orderModel) waiting() waiting {
	at, err := m.c.places()
	if err != nil {
		m.t.Fatal(err)
	}
	w := waiting{map[uint64][]uint64{}, map[uint64][]uint64{}, map[uint64][]uint64{}, map[uint64][]uint64{}}
	add := func(to map[uint64][]uint64, seq uint64) { to[m.keyOf(seq)] = append(to[m.keyOf(seq)], seq) }
	again := map[uint64]bool{}
	for _, h := range []*dueheap.Heap{m.c.due, &m.c.deferred} {
		h.Each(func(i dueheap.Item) { again[i.Seq] = i.Attempts > 0 })
	}
	for _, seq := range slices.Sorted(maps.Keys(at)) {
		switch where := at[seq]; {
		case where == "returned", where == "due" && again[seq]:
			add(w.returned, seq)
		case where == "due":
			add(w.due, seq)
		case where == "deferred" && !again[seq]:
		default:
			add(w.underWay, seq)
		}
	}
	for seq := m.c.nextFresh(0); seq < m.fanOut; seq = m.c.nextFresh(seq + 1) {
		add(w.fresh, seq)
	}
	return w
}

// take takes out a message that is delivered, and says why it may not be.
func (w *waiting) take(k, seq uint64) string {
	if k != 0 && len(w.underWay[k]) > 0 {
		return fmt.Sprintf("%v of its key are under way", w.underWay[k])
	}
	defer func() { w.underWay[k] = append(w.underWay[k], seq) }()
	for i, from := range []map[uint64][]uint64{w.returned, w.due, w.fresh} {
		at := slices.Index(from[k], seq)
		if at < 0 {
			continue
		}
		first := at == 0 || i == 1 || k == 0
		from[k] = slices.Delete(slices.Clone(from[k]), at, at+1)
		if !first {
			return fmt.Sprintf("%v comes before it", from[k])
		}
		if k != 0 && i > 0 && len(w.returned[k]) > 0 {
			return fmt.Sprintf("%v were delivered before", w.returned[k])
		}
		return ""
	}
	return "it does not wait"
}

// reserve has a consumer take, and again while it gets nothing and is woken for what there is:
// what was looked at may be done by then. In vain it comes only where all is held back.
func (m *orderModel) reserve() {
	i := m.pick()
	if i < 0 {
		return
	}
	h, limit, none := m.holders[i], m.draw(1, 20, "limit"), true
	for times := 0; none && times < 20 && (times == 0 || m.c.available() > 0); times++ {
		none = m.take(h, limit)
	}
	if none {
		m.stuck(m.waiting())
	}
}

// take looks ahead, with something else in between perhaps, and takes; none says that there
// was nothing for a consumer that wanted something.
func (m *orderModel) take(h *holder, limit int) (none bool) {
	for times := 0; m.c.conf.ahead != nil && m.look == nil && !h.gone; times++ {
		l := new(look)
		planned := m.c.plan(h, m.now, limit, times, l)
		m.unlock()
		if !planned {
			break
		}
		m.look = l
		if m.draw(0, 5, "meanwhile") == 0 {
			m.step()
		}
		m.endLook()
	}
	if h.gone {
		return false
	}
	m.c.moveDue(m.now)
	w := m.waiting()
	batch, end := m.c.reserve(h, m.now, limit, nil)
	m.unlock()
	for _, r := range batch {
		if why := w.take(m.keyOf(r.seq), r.seq); why != "" && m.settings.Ordered != "" {
			m.t.Fatalf("%d of the key %d is delivered, but %s", r.seq, m.keyOf(r.seq), why)
		}
	}
	if len(batch) == 0 && h.credit() > 0 && m.look == nil {
		return true
	}
	if n := len(batch); n > 0 && m.draw(0, 3, "short") == 0 {
		if m.draw(0, 3, "meanwhile") == 0 {
			m.step()
		}
		m.c.release(h, batch[m.draw(0, n-1, "encoded"):], end)
	}
	return false
}

// endLook ends a look.
func (m *orderModel) endLook() {
	l := m.look
	if l == nil {
		return
	}
	m.look = nil
	l.read = m.draw(0, l.fresh, "read")
	if m.draw(0, 3, "all") > 0 {
		l.read = l.fresh
	}
	for i := range l.read {
		l.traits[i] = m.keyOf(l.seqs[i])
		if l.ahead.kind == "" {
			l.traits[i] = m.priorityOf(l.seqs[i])
		}
	}
	m.c.note(l)
	m.unlock()
}

// stuck wants a reason for nothing to be delivered.
func (m *orderModel) stuck(w waiting) {
	for _, kind := range []map[uint64][]uint64{w.returned, w.due, w.fresh} {
		for k, seqs := range kind {
			if len(seqs) > 0 && (m.settings.Ordered == "" || k == 0 || len(w.underWay[k]) == 0) {
				m.t.Fatalf("nothing is delivered, but %v of the key %d could be: %+v", seqs, k, m.c.conf.ahead)
			}
		}
	}
}

// flight picks a message in flight, and who has it.
func (m *orderModel) flight() (h *holder, seq uint64) {
	var seqs []uint64
	m.c.flight.each(func(_ uint32, seq uint64, _ *entry) { seqs = append(seqs, seq) })
	if len(seqs) == 0 {
		return nil, 0
	}
	slices.Sort(seqs)
	seq = seqs[m.draw(0, len(seqs)-1, "flying")]
	return m.c.flight.holders[m.c.flight.at(m.c.flight.find(seq)).owner], seq
}

func (m *orderModel) finish() {
	if h, seq := m.flight(); h != nil {
		_ = m.c.finish(h, seq)
	}
}

func (m *orderModel) requeue() {
	if h, seq := m.flight(); h != nil {
		_ = m.c.requeue(h, seq, m.now, int64(m.draw(0, 2, "delay"))*1e9)
	}
}

func (m *orderModel) handBack() {
	if h, seq := m.flight(); h != nil {
		_ = m.c.giveBack(h, seq)
	}
}

func (m *orderModel) act() {
	seq := uint64(m.draw(1, int(m.fanOut), "seq"))
	if !m.c.holds(seq) {
		return
	}
	if m.draw(0, 1, "finish") == 0 {
		m.void(seq, seq+1)
	} else {
		m.c.hasten(seq)
	}
}

func (m *orderModel) void(from, to uint64) {
	m.voids = append(m.voids, seqset.Range{From: from, To: to})
	m.c.void(from, to)
}

func (m *orderModel) voidSome() {
	from := uint64(m.draw(1, int(m.fanOut)+5, "from"))
	m.void(from, from+uint64(m.draw(1, 8, "length")))
}

func (m *orderModel) sampleOut() {
	i := m.pick()
	if i < 0 || m.look != nil {
		return
	}
	batch, _ := m.c.reserve(m.holders[i], m.now, 10, nil)
	m.c.sample(m.holders[i], batch, func(seq uint64) bool { return seq%2 == 0 })
}

func (m *orderModel) discard() {
	from := uint64(m.draw(1, int(m.fanOut), "from"))
	m.c.discard([]seqset.Range{{From: from, To: min(m.fanOut, from+20)}}, 0, Expired)
}

func (m *orderModel) claim() {
	i := m.pick()
	if i < 0 {
		return
	}
	var claims Claims
	for range m.draw(1, 4, "claims") {
		claim := Claim{Seq: uint64(m.draw(1, int(m.fanOut), "seq")), Attempts: uint16(m.draw(1, 3, "attempts"))}
		switch m.draw(0, 3, "what") {
		case 0:
			claims.Done = append(claims.Done, seqset.Range{From: claim.Seq, To: claim.Seq + 2})
		case 1:
			if m.draw(0, 1, "later") == 1 {
				claim.Due = m.now/1e6 + modelShift + int64(m.draw(-5, 5_000, "due"))
			}
			claims.Requeued = append(claims.Requeued, claim)
		default:
			claims.Held = append(claims.Held, claim)
		}
	}
	m.c.claim(m.holders[i], &claims, m.now, -modelShift)
}

func (m *orderModel) tick() {
	m.now += int64(m.draw(1, 5000, "ms")) * 1e6
	m.c.expire(m.now)
}

func (m *orderModel) letters() {
	if m.sending == nil {
		if m.c.beginSending() {
			m.sending = m.c.nextSpent()
		}
		return
	}
	if m.draw(0, 2, "fails") == 0 {
		m.c.notSent(m.now)
	} else {
		m.c.sent(m.sending)
	}
	m.sending = m.c.nextSpent()
}

func (m *orderModel) configure() {
	s := settings.EffectiveChannel{MaxAttempts: uint16(m.draw(0, 3, "attempts")), DeadLetterTopic: "letters"}
	switch m.draw(0, 5, "order") {
	case 0:
	case 1:
		s.Prioritised = true
	case 2:
		s.Ordered = settings.OrderedChannel
	default:
		s.Ordered = settings.OrderedKey
	}
	s.Stops = s.Ordered != "" && m.draw(0, 1, "stops") == 1
	m.settings = s
	m.c.configure(s, m.now)
}

func (m *orderModel) empty() { m.c.empty() }

func (m *orderModel) journal() {
	applyChanges(m.st, m.c.takeChanges(m.draw(0, 5, "full") == 0, modelShift).finish())
}

// open describes what a restored core holds that was given out or deferred.
func open(c *core) map[string]bool {
	list := map[string]bool{fmt.Sprint("cursor ", c.cursor, ", waiting ", c.waiting): true}
	for _, m := range c.returnedList() {
		list[fmt.Sprint(m, " returned")] = true
	}
	for _, h := range []*dueheap.Heap{c.due, &c.deferred} {
		h.Each(func(i dueheap.Item) { list[fmt.Sprint(i)] = true })
	}
	for _, x := range c.conf.spent.waiting {
		list[fmt.Sprint(x, " spent")] = true
	}
	return list
}

func (m *orderModel) restart() {
	st := &state.Channel{}
	applyChanges(st, m.c.snapshot(modelShift).finish())
	m.journal()
	was := m.waiting()
	c := restoreCore(m.l, m.now, m.st, m.fanOut, m.voids, m.delayed, -modelShift)
	o := restoreCore(m.l, m.now, st, m.fanOut, m.voids, m.delayed, -modelShift)
	for _, c := range []*core{c, o} {
		c.configure(m.settings, m.now)
	}
	if a, b := open(c), open(o); !maps.Equal(a, b) {
		m.t.Fatalf("changes give %v, a snapshot %v", a, b)
	}
	m.c, m.holders, m.sending, m.look = c, nil, nil, nil
	if is := m.waiting(); !maps.EqualFunc(is.fresh, was.fresh, slices.Equal) {
		m.t.Fatalf("fresh are %v, were %v", is.fresh, was.fresh)
	}
}

func (m *orderModel) step() {
	steps := []func(){
		m.advance, m.advance, m.subscribe, m.finish, m.finish, m.finish, m.finish, m.finish, m.requeue, m.requeue, m.tick, m.letters,
		m.handBack, m.act, m.voidSome, m.sampleOut, m.discard, m.claim, m.setAway, m.leave,
	}
	steps[m.draw(0, len(steps)-1, "step")]()
	m.unlock()
}

// unlock does what Channel.unlock does.
func (m *orderModel) unlock() {
	m.c.settleDoomed()
	m.c.wakeNext()
}

// TestWhatIsOrderedComesInOrderWhateverHappens tries that of each key one message at a time
// is under way, that none overtakes, and that none waits in vain.
func TestWhatIsOrderedComesInOrderWhateverHappens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &orderModel{t: t, now: 1e15, fanOut: 1, st: ackedState(1, 1)}
		steps := rapid.IntRange(1, 200).Draw(t, "steps")
		if rapid.Bool().Draw(t, "even") {
			m.dice, steps = rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)), 400
		}
		m.keys = m.draw(2, 6, "keys")
		m.l = limits{maxTimeout: modelMaxTimeout, maxDelay: modelMaxDelay, journalled: true}
		m.c = newCore(m.l, 1)
		m.configure()
		rare := []func(){m.empty, m.restart, m.configure, m.journal, m.rewind}
		for range steps {
			switch n := m.draw(0, 40, "what"); {
			case n == 0:
				rare[m.draw(0, len(rare)-1, "step")]()
			case n < 20:
				m.reserve()
			default:
				m.step()
			}
			m.unlock()
			if err := m.c.check(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
