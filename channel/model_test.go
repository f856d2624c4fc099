package channel

import (
	"cmp"
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

const (
	modelMaxTimeout = 20e9
	modelMaxDelay   = 30e9
	modelShift      = 7777 // wall-clock ms − steady ms
)

type place int

const (
	isFresh place = iota
	isFlying
	isReturned
	isDue
	isDeferred
	isSpent
	isDone
)

// modelMessage is what the model knows of a message.
type modelMessage struct {
	place           place
	attempts        uint16
	delayed         bool
	due             int64 // steady ms
	deadline, first int64
	owner           *modelHolder
}

type modelHolder struct {
	holder holder
	rdy    int64
	away   bool
}

// model is a channel in maps and slices, next to the core under test.
type model struct {
	t        *rapid.T
	dice     *rand.Rand // nil when rapid draws
	l        limits
	c        *core
	now      int64
	fanOut   uint64
	start    uint64
	msgs     map[uint64]*modelMessage
	returned []uint64
	holders  []*modelHolder
	paused   bool
	voids    []seqset.Range
	delayed  []message.Mark
	st       *state.Channel
	settings settings.EffectiveChannel
	sending  []spentMessage // what somebody publishes
}

// draw picks a number from low to high. Half of the runs pick evenly, which
// reaches deep states; the others leave it to rapid, which shrinks failures.
func draw[T int | int64 | uint64](m *model, low, high T, label string) T {
	if m.dice != nil {
		return low + T(m.dice.Uint64N(uint64(high-low)+1))
	}
	return low + T(rapid.Uint64Range(0, uint64(high-low)).Draw(m.t, label))
}

func sample[T any](m *model, from []T, label string) T {
	return from[draw(m, 0, len(from)-1, label)]
}

func (m *model) flying(h *modelHolder) (seqs []uint64) {
	for seq, x := range m.msgs {
		if x.place == isFlying && (h == nil || x.owner == h) {
			seqs = append(seqs, seq)
		}
	}
	slices.Sort(seqs)
	return seqs
}

func (m *model) count(p place) (n int) {
	for _, x := range m.msgs {
		if x.place == p {
			n++
		}
	}
	return n
}

func (m *model) fresh() (seqs []uint64) {
	for seq, x := range m.msgs {
		if x.place == isFresh {
			seqs = append(seqs, seq)
		}
	}
	slices.Sort(seqs)
	return seqs
}

func (m *model) voided(seq uint64) bool {
	return slices.ContainsFunc(m.voids, func(r seqset.Range) bool { return r.From <= seq && seq < r.To })
}

func (m *model) giveBack(seq uint64) {
	m.msgs[seq].place = isReturned
	m.returned = append(m.returned, seq)
}

func (m *model) takeOut(seq uint64) {
	m.returned = slices.DeleteFunc(m.returned, func(s uint64) bool { return s == seq })
}

// moveDue makes due what has been deferred for long enough.
func (m *model) moveDue() {
	for _, x := range m.msgs {
		if x.place == isDeferred && x.due*1e6 <= m.now {
			x.place = isDue
		}
	}
}

// due lists what is due, by due time.
func (m *model) due() (seqs []uint64) {
	for seq, x := range m.msgs {
		if x.place == isDue {
			seqs = append(seqs, seq)
		}
	}
	slices.SortFunc(seqs, func(a, b uint64) int {
		return cmp.Or(cmp.Compare(m.msgs[a].due, m.msgs[b].due), cmp.Compare(a, b))
	})
	return seqs
}

func (m *model) advance() {
	from := m.fanOut
	n := draw(m, uint64(1), 90, "new")
	m.fanOut += n
	var delayed []message.Mark
	if draw(m, 0, 1, "some delayed") == 1 {
		for seq := from; seq < m.fanOut; seq++ {
			if draw(m, 0, 3, "delayed") == 0 {
				due := m.now/1e6 + draw(m, int64(-5), 10_000, "due")
				delayed = append(delayed, message.Mark{Seq: seq, DeliverAt: due + modelShift})
			}
		}
	}
	m.delayed = append(m.delayed, delayed...)
	for _, d := range delayed {
		x := &modelMessage{place: isDeferred, delayed: true, due: d.DeliverAt - modelShift}
		m.msgs[d.Seq] = x
		switch {
		case m.voided(d.Seq):
			x.place = isDone
		case x.due*1e6 <= m.now:
			x.place = isDue
		}
	}
	depth := m.depth()
	for seq := from; seq < m.fanOut; seq++ {
		if m.msgs[seq] != nil {
			continue
		}
		x := &modelMessage{}
		m.msgs[seq] = x
		switch {
		case m.voided(seq), m.l.waiting > 0 && depth >= m.l.waiting:
			x.place = isDone
		default:
			depth++
		}
	}
	m.c.advance(m.now, m.fanOut, delayed, -modelShift)
}

func (m *model) depth() int { return len(m.returned) + m.count(isDue) + m.count(isFresh) }

func (m *model) void() {
	from := draw(m, m.start, m.fanOut+20, "from")
	to := from + draw(m, uint64(1), 60, "length")
	m.voids = append(m.voids, seqset.Range{From: from, To: to})
	for seq, x := range m.msgs {
		if from <= seq && seq < to {
			x.place = isDone
			m.takeOut(seq)
		}
	}
	m.c.void(from, to)
}

func (m *model) empty() {
	for _, x := range m.msgs {
		x.place = isDone
	}
	m.returned = nil
	m.c.empty()
}

func (m *model) subscribe() {
	if len(m.holders) < 4 {
		h := &modelHolder{}
		m.holders = append(m.holders, h)
		m.c.join(&h.holder, draw(m, int64(1e9), 10e9, "timeout"))
	}
}

func (m *model) pick() *modelHolder {
	if len(m.holders) == 0 {
		return nil
	}
	return sample(m, m.holders, "holder")
}

func (m *model) leave() {
	h := m.pick()
	if h == nil {
		return
	}
	for _, seq := range m.flying(h) {
		m.giveBack(seq)
	}
	m.holders = slices.DeleteFunc(m.holders, func(o *modelHolder) bool { return o == h })
	m.c.leave(&h.holder)
}

func (m *model) setReady() {
	if h := m.pick(); h != nil && !h.away {
		h.rdy = draw(m, int64(0), 50, "rdy")
		m.c.setCredit(&h.holder, h.rdy, h.holder.inFlight)
	}
}

// setAway has somebody be away, most likely who has something.
func (m *model) setAway() {
	h := m.pick()
	if all := m.flying(nil); len(all) > 0 {
		h = m.msgs[sample(m, all, "flying")].owner
	}
	if h != nil {
		h.away, h.rdy = true, 0
		m.c.setAway(&h.holder)
	}
}

// claimAway claims what consumers have that are away.
func (m *model) claimAway() {
	h := m.pick()
	if h == nil {
		return
	}
	var claims Claims
	for _, seq := range m.flying(nil) {
		x := m.msgs[seq]
		claim := Claim{Seq: seq, Attempts: x.attempts}
		switch n := draw(m, 0, 5, "what"); {
		case !x.owner.away || n == 0:
		case n == 1:
			claims.Requeued = append(claims.Requeued, claim)
		default:
			claims.Held = append(claims.Held, claim)
		}
	}
	m.claimAs(h, &claims)
}

// share is how many messages h may get.
func (m *model) share(h *modelHolder, limit int) int {
	available, others := m.depth(), 0
	for _, o := range m.holders {
		if o.rdy > int64(len(m.flying(o))) {
			others++
		}
	}
	if limit := m.settings.MaxInFlight; limit > 0 {
		available = min(available, max(0, limit-len(m.flying(nil))))
	}
	credit := int(h.rdy) - len(m.flying(h))
	if credit <= 0 || m.paused {
		return 0
	}
	return min(credit, limit, (available+others-1)/others)
}

func (m *model) reserve() {
	h := m.pick()
	if h == nil {
		return
	}
	limit := draw(m, 1, 40, "limit")
	m.moveDue()
	n, fresh, due := m.share(h, limit), m.fresh(), m.due()
	batch, end := m.c.reserve(&h.holder, m.now, limit, nil)
	if len(batch) != n {
		m.t.Fatalf("reserved %d, want %d", len(batch), n)
	}
	var from [3]int
	for _, b := range batch {
		from[b.from]++
	}
	m.fair(n, from[fromFresh], len(fresh), from[fromDue]+from[fromReturned], len(due)+len(m.returned))
	m.fair(from[fromDue]+from[fromReturned], from[fromDue], len(due), from[fromReturned], len(m.returned))
	want := slices.Concat(fresh[:from[fromFresh]], due[:from[fromDue]], m.returned[:from[fromReturned]])
	got := make([]uint64, 0, n)
	for _, b := range batch {
		got = append(got, b.seq)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		m.t.Fatalf("reserved %v, want %v", got, want)
	}
	m.returned = slices.Clone(m.returned[from[fromReturned]:])
	for _, b := range batch {
		x := m.msgs[b.seq]
		if x.place != map[queue]place{fromFresh: isFresh, fromDue: isDue, fromReturned: isReturned}[b.from] || b.attempts != x.attempts+1 {
			m.t.Fatalf("reserved %+v, was %+v", b, *x)
		}
		*x = modelMessage{place: isFlying, attempts: b.attempts, delayed: x.delayed, owner: h,
			first: m.now, deadline: m.now + h.holder.timeout}
	}
	if n > 0 && draw(m, 0, 2, "short") == 0 {
		m.check()
		m.release(h, batch[draw(m, 0, n-1, "encoded"):], end)
	}
}

// fair wants n reservations to be shared half and half by two kinds, of which so many
// wait, as long as there are enough of both.
func (m *model) fair(n, a, aWaiting, b, bWaiting int) {
	if a > aWaiting || b > bWaiting || a < min(n/2, aWaiting) || b < min(n/2, bWaiting) {
		m.t.Fatalf("reserved %d of %d and %d of %d", a, aWaiting, b, bWaiting)
	}
}

// release takes back rest, with something else in between, perhaps.
func (m *model) release(h *modelHolder, rest []reservation, end uint64) {
	switch draw(m, 0, 8, "meanwhile") {
	case 0:
		m.advance()
	case 1:
		m.void()
	case 2:
		m.tick()
	case 3:
		m.finish()
	case 4:
		m.empty()
	case 5:
		m.requeue()
	case 6:
		m.touch()
		m.tick()
	}
	rewind := m.c.cursor == end
	for i := len(rest) - 1; i >= 0; i-- {
		x := m.msgs[rest[i].seq]
		if x.place != isFlying || x.owner != h {
			rewind = rewind && (x.place == isDone || rest[i].from != fromFresh)
			continue
		}
		x.attempts--
		switch {
		case rest[i].from == fromFresh && rewind:
			x.place = isFresh
		case rest[i].from == fromDue:
			x.place, x.due = isDue, rest[i].due
		default:
			x.place = isReturned
			m.returned = slices.Insert(m.returned, 0, rest[i].seq)
		}
	}
	m.c.release(&h.holder, rest, end)
}

// flight picks a number, mostly one in flight, and a holder, mostly its owner.
func (m *model) flight() (h *modelHolder, seq uint64, want error) {
	h = m.pick()
	if h == nil {
		return nil, 0, nil
	}
	seq = draw(m, m.start, m.fanOut, "seq")
	if all := m.flying(nil); len(all) > 0 && draw(m, 0, 9, "hit") > 0 {
		seq = sample(m, all, "flying")
		if draw(m, 0, 9, "own") > 0 {
			h = m.msgs[seq].owner
		}
	}
	switch x := m.msgs[seq]; {
	case x == nil || x.place != isFlying:
		return h, seq, ErrNotInFlight
	case x.owner != h:
		return h, seq, ErrNotOwner
	}
	return h, seq, nil
}

func (m *model) same(got, want error) {
	if got != want {
		m.t.Fatalf("got %v, want %v", got, want)
	}
}

func (m *model) finish() {
	h, seq, want := m.flight()
	if h == nil {
		return
	}
	if want == nil {
		m.msgs[seq].place = isDone
	}
	m.same(m.c.finish(&h.holder, seq), want)
}

func (m *model) requeue() {
	h, seq, want := m.flight()
	if h == nil {
		return
	}
	delay := sample(m, []int64{-1, 0, 1, 1e6, 1500e6, 29e9, 90e9}, "delay")
	switch {
	case want != nil:
	case m.isSpent(seq):
		m.msgs[seq].place = isSpent
	case delay <= 0:
		m.giveBack(seq)
	default:
		x := m.msgs[seq]
		x.place = isDeferred
		x.due = (m.now + min(delay, modelMaxDelay) + 999_999) / 1e6
	}
	m.same(m.c.requeue(&h.holder, seq, m.now, delay), want)
}

func (m *model) touch() {
	h, seq, want := m.flight()
	if h == nil {
		return
	}
	if want == nil {
		x := m.msgs[seq]
		x.deadline = min(m.now+h.holder.timeout, x.first+modelMaxTimeout)
	}
	m.same(m.c.touch(&h.holder, seq, m.now), want)
}

func (m *model) handBack() {
	h, seq, want := m.flight()
	if h == nil {
		return
	}
	if want == nil {
		m.msgs[seq].place = isReturned
		m.msgs[seq].attempts--
		m.returned = slices.Insert(m.returned, 0, seq)
	}
	m.same(m.c.giveBack(&h.holder, seq), want)
}

// claim claims messages anywhere, each for a reason.
func (m *model) claim() {
	h := m.pick()
	if h == nil || m.fanOut == m.start {
		return
	}
	var claims Claims
	for range draw(m, 1, 12, "claims") {
		claim := Claim{Seq: draw(m, m.start, m.fanOut+2, "seq"), Attempts: uint16(draw(m, 1, 3, "attempts"))}
		switch draw(m, 0, 3, "what") {
		case 0:
			claims.Done = append(claims.Done, seqset.Range{From: claim.Seq, To: claim.Seq + draw(m, uint64(1), 5, "length")})
		case 1:
			if draw(m, 0, 1, "later") == 1 {
				claim.Due = m.now/1e6 + modelShift + draw(m, int64(-5), 10_000, "due")
			}
			claims.Requeued = append(claims.Requeued, claim)
		default:
			claims.Held = append(claims.Held, claim)
		}
	}
	m.claimAs(h, &claims)
}

func (m *model) claimAs(h *modelHolder, claims *Claims) {
	refused := m.c.claim(&h.holder, claims, m.now, -modelShift)
	if want := m.claimed(h, claims); !slices.Equal(refused, want) {
		m.t.Fatalf("refused %v, want %v", refused, want)
	}
}

// claimed does what claim is to do, and says what is refused.
func (m *model) claimed(h *modelHolder, claims *Claims) (refused []uint64) {
	for _, r := range claims.Done {
		for seq := r.From; seq < min(r.To, m.fanOut); seq++ {
			m.msgs[seq].place = isDone
			m.takeOut(seq)
		}
	}
	for i, c := range claims.Requeued {
		x := m.msgs[c.Seq]
		again := slices.ContainsFunc(claims.Requeued[i+1:], func(later Claim) bool { return later.Seq == c.Seq })
		switch {
		case x == nil || x.place == isDone || x.place == isSpent || again:
			continue
		case x.place == isFlying && !(x.owner.away && x.attempts == c.Attempts):
			continue
		case x.place != isFlying && x.attempts > mostAttempts(claims.Requeued, c.Seq):
			continue
		}
		m.takeOut(c.Seq)
		x.attempts = max(x.attempts, c.Attempts)
		if m.isSpent(c.Seq) {
			x.place = isSpent
			continue
		}
		if x.due = c.Due - modelShift; c.Due != 0 {
			x.place = isDeferred
			if x.due*1e6 <= m.now {
				x.place = isDue
			}
			continue
		}
		m.giveBack(c.Seq)
	}
	for _, c := range claims.Held {
		x := m.msgs[c.Seq]
		switch {
		case x == nil || x.place == isDone || x.place == isSpent:
			refused = append(refused, c.Seq)
			continue
		case x.place == isFlying && x.owner != h && x.owner.away && x.attempts == c.Attempts:
			x.owner, x.deadline = h, min(m.now+h.holder.timeout, x.first+modelMaxTimeout)
			continue
		case x.place == isFlying && (x.owner == h || x.attempts >= c.Attempts):
			if x.owner != h {
				refused = append(refused, c.Seq)
			}
			continue
		case x.place != isFlying && x.attempts > mostAttempts(claims.Held, c.Seq):
			refused = append(refused, c.Seq)
			continue
		}
		m.takeOut(c.Seq)
		*x = modelMessage{place: isFlying, attempts: max(x.attempts, c.Attempts), delayed: x.delayed, owner: h,
			first: m.now, deadline: m.now + h.holder.timeout}
	}
	return refused
}

// mostAttempts is how often a message was given out, as its claims have it.
func mostAttempts(claims []Claim, seq uint64) (most uint16) {
	for _, c := range claims {
		if c.Seq == seq {
			most = max(most, c.Attempts)
		}
	}
	return most
}

func (m *model) tick() {
	m.now += draw(m, int64(1), 6e9, "tick")
	m.moveDue()
	late := slices.DeleteFunc(m.flying(nil), func(seq uint64) bool { return m.msgs[seq].deadline > m.now })
	slices.SortFunc(late, func(a, b uint64) int {
		return cmp.Or(cmp.Compare(m.msgs[a].deadline, m.msgs[b].deadline), cmp.Compare(a, b))
	})
	for _, seq := range late {
		if m.isSpent(seq) {
			m.msgs[seq].place = isSpent
			continue
		}
		m.giveBack(seq)
	}
	m.c.expire(m.now)
}

func (m *model) pause() {
	m.paused = !m.paused
	m.c.paused = m.paused
}

// isSpent says whether a message was delivered as often as it may be.
func (m *model) isSpent(seq uint64) bool {
	return m.settings.MaxAttempts > 0 && m.msgs[seq].attempts >= m.settings.MaxAttempts
}

// configure changes the settings.
func (m *model) configure() {
	m.settings = settings.EffectiveChannel{MaxInFlight: draw(m, 0, 30, "in flight"), MaxAttempts: uint16(draw(m, 0, 3, "attempts")), DeadLetterTopic: "letters"}
	m.c.configure(m.settings, m.now)
	if m.settings.MaxAttempts > 0 {
		return
	}
	for i := range m.c.returned.Len() { // in the order in which they were spent
		if seq := m.c.returned.At(i).seq; m.msgs[seq].place == isSpent {
			m.giveBack(seq)
		}
	}
}

// letters begins to publish what is spent, or ends it, well or not.
func (m *model) letters() {
	if m.sending == nil {
		if m.c.beginSending() {
			m.sending = m.c.nextSpent()
		}
		return
	}
	if draw(m, 0, 2, "fails") == 0 {
		m.c.notSent(m.now)
	} else {
		for _, x := range m.sending {
			if m.msgs[x.seq].place == isSpent {
				m.msgs[x.seq].place = isDone
			}
		}
		m.c.sent(m.sending)
	}
	m.sending = m.c.nextSpent()
}

// journal applies the core's changes to the state as replay does.
func (m *model) journal() {
	ch := m.c.takeChanges(draw(m, 0, 5, "full") == 0, modelShift).finish()
	applyChanges(m.st, ch)
}

func applyChanges(st *state.Channel, ch state.ChannelChanges) {
	if ch.Full {
		st.Acked = seqset.New(ch.Floor)
		st.Open.Clear()
	}
	st.Acked.AddRange(0, ch.Floor)
	for _, r := range ch.Acked {
		st.Acked.AddRange(r.From, r.To)
	}
	for _, o := range ch.Open {
		st.Open.Put(o)
	}
	for _, o := range slices.Collect(st.Open.All()) {
		if st.Acked.Contains(o.Seq) {
			st.Open.Remove(seqset.Range{From: o.Seq, To: o.Seq + 1})
		}
	}
	st.Cursor = ch.Cursor
}

// restart builds the core anew from changes, and checks that a snapshot would
// have given the same.
func (m *model) restart() {
	if !m.l.journalled {
		return
	}
	snap := m.c.snapshot(modelShift).finish()
	st := &state.Channel{}
	applyChanges(st, snap)
	m.journal()
	c := restoreCore(m.l, m.now, m.st, m.fanOut, m.voids, m.delayed, -modelShift)
	o := restoreCore(m.l, m.now, st, m.fanOut, m.voids, m.delayed, -modelShift)
	if err := sameCore(c, o); err != "" {
		m.t.Fatalf("changes and snapshot differ: %s", err)
	}
	m.c, m.holders, m.paused, m.sending = c, nil, false, nil
	m.c.configure(m.settings, m.now)
	m.moveDue()
	m.returned = append(m.returned, m.flying(nil)...)
	slices.Sort(m.returned)
	for _, seq := range m.returned {
		m.msgs[seq].place = isReturned
	}
}

func sameCore(a, b *core) string {
	switch {
	case a.cursor != b.cursor || a.floor() != b.floor() || a.waiting != b.waiting:
		return "positions"
	case !slices.EqualFunc(a.conf.spent.waiting, b.conf.spent.waiting, func(x, y spentMessage) bool { return x == y }):
		return "spent messages"
	case a.returned.Len() != b.returned.Len() || a.due.Len() != b.due.Len() || a.deferred.Len() != b.deferred.Len():
		return "counts"
	}
	for i := range a.returned.Len() {
		if *a.returned.At(i) != *b.returned.At(i) {
			return "returned messages"
		}
	}
	if !slices.Equal(slices.Collect(a.due.InOrder()), slices.Collect(b.due.InOrder())) {
		return "due messages"
	}
	if !slices.Equal(slices.Collect(a.deferred.InOrder()), slices.Collect(b.deferred.InOrder())) {
		return "deferred messages"
	}
	return ""
}

// check compares the core with the model.
func (m *model) check() {
	m.c.wakeNext()
	if err := m.c.check(); err != nil {
		m.t.Fatal(err)
	}
	c := m.c
	for seq, x := range m.msgs {
		if c.acked.Contains(seq) != (x.place == isDone) {
			m.t.Fatalf("%d is %+v", seq, *x)
		}
	}
	got := [...]int{c.returned.Len(), c.due.Len(), int(c.waiting), c.flight.len(), c.deferred.Len(), len(c.conf.spent.waiting)}
	want := [...]int{len(m.returned), m.count(isDue), m.count(isFresh), m.count(isFlying), m.count(isDeferred), m.count(isSpent)}
	if got != want {
		m.t.Fatalf("returned, due, fresh, in flight, deferred, spent: %v, want %v", got, want)
	}
	for _, x := range c.conf.spent.waiting {
		if y := m.msgs[x.seq]; x.attempts != y.attempts || x.delayed != y.delayed {
			m.t.Fatalf("spent %+v, want %+v", x, *y)
		}
	}
	for i, seq := range m.returned {
		if got, want := *c.returned.At(i), (redelivery{seq, m.msgs[seq].attempts, m.msgs[seq].delayed}); got != want {
			m.t.Fatalf("returned[%d] is %+v, want %+v", i, got, want)
		}
	}
	m.checkDeferred(&c.deferred, isDeferred)
	m.checkDeferred(c.due, isDue)
	c.flight.each(func(_ uint32, seq uint64, e *entry) {
		x := m.msgs[seq]
		if x.place != isFlying || x.attempts != e.attempts || x.deadline != e.deadline || x.owner.holder.index != e.owner {
			m.t.Fatalf("in flight %+v, want %+v", *e, *x)
		}
	})
}

func (m *model) checkDeferred(h *dueheap.Heap, in place) {
	h.Each(func(got dueheap.Item) {
		if x := m.msgs[got.Seq]; x.place != in || x.due != got.Due || x.attempts != got.Attempts || x.delayed != got.Delayed {
			m.t.Fatalf("deferred %+v, want %+v", got, *x)
		}
	})
}

func newModel(t *rapid.T) *model {
	m := &model{t: t, now: 1e15, msgs: map[uint64]*modelMessage{}}
	if rapid.Bool().Draw(t, "even") {
		m.dice = rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
	}
	m.l = limits{maxTimeout: modelMaxTimeout, maxDelay: modelMaxDelay, journalled: true}
	if draw(m, 0, 3, "ephemeral") == 0 {
		m.l.journalled = false
		m.l.waiting = draw(m, 1, 120, "limit")
	}
	m.start = draw(m, uint64(1), 1<<53, "start")
	m.fanOut = m.start
	m.c = newCore(m.l, m.start)
	m.st = &state.Channel{Acked: seqset.New(m.start), Cursor: m.start}
	if draw(m, 0, 1, "settings") == 1 {
		m.configure()
	}
	return m
}

// TestCoreEqualsNaiveModel drives the core and a naive model through the same
// random steps, restarts from the journal included.
func TestCoreEqualsNaiveModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		steps := []func(){
			m.advance, m.advance, m.subscribe, m.setReady, m.setReady, m.reserve, m.reserve, m.reserve, m.reserve,
			m.finish, m.finish, m.finish, m.finish, m.requeue, m.requeue, m.touch, m.tick, m.letters,
		}
		rare := []func(){m.void, m.empty, m.leave, m.pause, m.journal, m.restart, m.claim, m.setAway, m.claimAway, m.handBack, m.configure, m.rewind, m.rewind}
		for range draw(m, 1, 300, "steps") {
			if draw(m, 0, 7, "rare") == 0 {
				sample(m, rare, "step")()
			} else {
				sample(m, steps, "step")()
			}
			m.check()
		}
	})
}
