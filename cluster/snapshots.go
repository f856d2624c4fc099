package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"qmq/replica"
	"qmq/replica/machine"
)

// A member that is behind the log is told by the leader that there is a snapshot
// (callTake), and fetches it, piece by piece (callPiece): the state of the shard, and the
// records that it lacks. The call for it ends when it has all, or will not. A member that
// fetches nothing holds nothing up.
//
//	callTake:  shard u32                          answer: nothing
//	callPiece: shard u32, piece's number u32      answer: (length u32, frame)…; empty after the last
//	           with 0, what the member has: (topic u64, next u64)…
const (
	endBytes   = 2 * 8
	pieceHead  = 2 * 4
	pieceBytes = 512 << 10 // about
	pieceTime  = 30 * time.Second
	// offerAgain is how long after an offer that was not taken there is no other to the
	// same member.
	offerAgain = 500 * time.Millisecond
	// bytesPerSecond is how much of snapshots a member gives at most, so that what is
	// published meanwhile goes through.
	bytesPerSecond = 200 << 20
)

// offerer offers snapshots of a shard to those who are behind. It is a
// replica.Snapshots.
type offerer struct {
	r *run
	n uint32
}

// snapshotOffers are those that are under way from this member.
type snapshotOffers struct {
	mu      sync.Mutex // guards closed, offers and refused
	closed  bool
	offers  map[offerID]*given
	refused map[offerID]string // why the last one was not taken
	running sync.WaitGroup     // grows under mu while closed is false
	pace    pace
}

// offerID is a shard's snapshot for a member.
type offerID struct {
	shard  uint32
	member uint64
}

// given is a snapshot that a member fetches.
type given struct {
	mu     sync.Mutex                   // guards what follows; held while a piece is waited for
	next   func([]byte) ([]byte, error) // appends a frame; nil: not begun; of whoever makes a piece
	done   func()
	number uint32 // of the next piece
	bytes  atomic.Int64
	ahead  chan made // of capacity 1: the next piece, while it is made or waits; nil: none is
	making sync.WaitGroup
}

// made is a piece of a snapshot.
type made struct {
	bytes []byte
	err   error
}

// wait waits until none is under way; none begins any more.
func (s *snapshotOffers) wait() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.running.Wait()
}

// begin notes an offer, which ends with ended; false: there is one, or it is over.
func (s *snapshotOffers) begin(of offerID, offer func(*given), ended func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.offers[of] != nil {
		return false
	}
	if s.offers == nil {
		s.offers, s.refused = make(map[offerID]*given), make(map[offerID]string)
	}
	g := new(given)
	s.offers[of] = g
	s.running.Go(func() {
		offer(g)
		g.end()
		ended()
		s.mu.Lock()
		delete(s.offers, of)
		s.mu.Unlock()
	})
	return true
}

// refusedAnew notes how an offer ended, and says whether it did so otherwise than the one
// before: why is empty for one that was taken.
func (s *snapshotOffers) refusedAnew(of offerID, why string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.refused[of]
	if s.refused[of] = why; why == "" {
		delete(s.refused, of)
	}
	return before != why
}

// given is how many bytes of each snapshot that is under way were given.
func (s *snapshotOffers) given() map[offerID]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[offerID]int64, len(s.offers))
	for of, g := range s.offers {
		all[of] = g.bytes.Load()
	}
	return all
}

// end lets go of what the snapshot is made of.
func (g *given) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.making.Wait()
	if g.done != nil {
		g.done()
	}
	g.next, g.ahead = func(dst []byte) ([]byte, error) { return dst, errStopped }, nil
}

// Offer is part of replica.Snapshots.
func (o offerer) Offer(m *pb.Message) {
	to, of := m.GetTo(), offerID{o.n, m.GetTo()}
	var err error
	began := o.r.offers.begin(of, func(g *given) {
		began := time.Now()
		_, err = o.r.s.links.Call(o.r.ctx, to, callTake, binary.LittleEndian.AppendUint32(nil, o.n))
		attributes := []any{slog.Uint64("shard", uint64(o.n)), slog.String("to", o.r.s.addressOf(to)), slog.Int64("bytes", g.bytes.Load()), slog.Duration("took", time.Since(began).Round(time.Millisecond))}
		if err == nil {
			o.r.offers.refusedAnew(of, "")
			o.r.s.o.Logger.Info("a member has taken a snapshot", attributes...)
			return
		}
		level := slog.LevelDebug
		if o.r.offers.refusedAnew(of, err.Error()) {
			level = slog.LevelWarn
		}
		o.r.s.o.Logger.Log(o.r.ctx, level, "a member has not taken a snapshot", append(attributes, slog.Any("error", err))...)
	}, func() {
		if err != nil {
			o.r.pause(offerAgain)
		}
		o.sent(to, err)
	})
	if !began {
		o.sent(to, errStopped)
	}
}

// pause waits, or until the run ends.
func (r *run) pause(d time.Duration) {
	select {
	case <-r.ctx.Done():
	case <-time.After(d):
	}
}

func (o offerer) sent(to uint64, err error) {
	if shard := o.r.shard(o.n); shard != nil {
		shard.SnapshotSent(to, err == nil)
	}
}

var errPiece = errors.New("a piece of a snapshot that makes no sense")

// givePiece gives a member the next piece of the snapshot that it was offered.
func (r *run) givePiece(ctx context.Context, from uint64, body []byte) ([]byte, error) {
	if len(body) < pieceHead || binary.LittleEndian.Uint32(body) > Shards {
		return nil, errPiece
	}
	n, number := binary.LittleEndian.Uint32(body), binary.LittleEndian.Uint32(body[4:])
	r.offers.mu.Lock()
	g := r.offers.offers[offerID{n, from}]
	r.offers.mu.Unlock()
	if g == nil {
		return nil, errPiece
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.next == nil {
		if err := r.beginGiving(g, n, body[pieceHead:]); err != nil {
			return nil, err
		}
	}
	if number != g.number {
		return nil, errPiece
	}
	g.number++
	piece, err := g.piece()
	if err != nil {
		return nil, err
	}
	g.bytes.Add(int64(len(piece)))
	r.s.counts.count(sentSnapshots, true, piece)
	return piece, r.offers.pace.wait(ctx, len(piece))
}

// piece is the next one; empty: there is none. The one behind it is made meanwhile, while
// this one is on its way.
func (g *given) piece() ([]byte, error) {
	if g.ahead == nil {
		g.ahead = make(chan made, 1)
		g.makeAhead()
	}
	next := <-g.ahead
	if next.err == nil && len(next.bytes) > 0 {
		g.makeAhead()
	} else {
		g.ahead <- next // there is none behind it
	}
	return next.bytes, next.err
}

func (g *given) makeAhead() {
	ahead := g.ahead
	g.making.Go(func() {
		bytes, err := g.make()
		ahead <- made{bytes, err}
	})
}

// make makes the next piece. One goroutine at a time calls it.
func (g *given) make() (piece []byte, err error) {
	const more = 64 << 10 // for what a frame has more than that
	piece = make([]byte, 0, pieceBytes+more)
	for len(piece) < pieceBytes {
		at := len(piece)
		piece, err = g.next(append(piece, 0, 0, 0, 0))
		if errors.Is(err, io.EOF) {
			return piece[:at], nil
		}
		if err != nil {
			return nil, err
		}
		binary.LittleEndian.PutUint32(piece[at:], uint32(len(piece)-at-4))
	}
	return piece, nil
}

// beginGiving begins a snapshot of a shard for a member that has so much.
func (r *run) beginGiving(g *given, n uint32, have []byte) error {
	if n == 0 {
		line, err := r.group0.snapshot()
		if err != nil {
			return err
		}
		rest := line
		g.next = func(dst []byte) ([]byte, error) {
			if rest == nil {
				return dst, io.EOF
			}
			rest = nil
			return append(dst, line...), nil
		}
		return nil
	}
	var ends []machine.End
	for ; len(have) >= endBytes; have = have[endBytes:] {
		ends = append(ends, machine.End{Topic: binary.LittleEndian.Uint64(have), Next: binary.LittleEndian.Uint64(have[8:])})
	}
	s := r.machines[n].Snapshot(ends)
	g.next, g.done = s.Next, s.Close
	return nil
}

// pace keeps what is given to so many bytes a second.
type pace struct {
	mu   sync.Mutex // guards next
	next time.Time  // when more may be given
}

// wait waits until so many bytes may go.
func (p *pace) wait(ctx context.Context, bytes int) error {
	p.mu.Lock()
	at := time.Now()
	if p.next.After(at) {
		at = p.next
	}
	p.next = at.Add(time.Duration(bytes) * time.Second / bytesPerSecond)
	p.mu.Unlock()
	wait := time.Until(at)
	if wait <= 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(wait):
		return nil
	}
}

// takeOffer has a shard of this member take the snapshot that a leader has for it, and
// waits until it has.
func (r *run) takeOffer(ctx context.Context, from uint64, body []byte) ([]byte, error) {
	if len(body) != 4 {
		return nil, errPiece
	}
	n := binary.LittleEndian.Uint32(body)
	shard := r.shard(n)
	if shard == nil {
		return nil, errNoSet
	}
	o := &offer{r: r, n: n, from: from, ctx: ctx, ended: make(chan error, 1)}
	shard.Receive(o)
	select {
	case err := <-o.ended:
		return nil, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// offer is a snapshot that a leader has for a shard of this member. It is a
// replica.Offer.
type offer struct {
	r     *run
	n     uint32
	from  uint64
	ctx   context.Context // done when the leader does not wait any more
	ended chan error      // capacity 1
}

var errDeclined = errors.New("it takes another snapshot already, or is stopped")

// Decline is part of replica.Offer.
func (o *offer) Decline() { o.ended <- errDeclined }

// Take is part of replica.Offer.
func (o *offer) Take(ctx context.Context) (*pb.SnapshotMetadata, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(o.ctx, cancel)()
	take, m := o.takeShard, replica.Machine(o.r.group0)
	if o.n == 0 {
		take = o.takeGroup0
	} else {
		m = replica.MachineOf(o.r.machines[o.n])
	}
	err := take(ctx)
	o.ended <- err
	if err != nil {
		return nil, err
	}
	index, term := m.Applied()
	return &pb.SnapshotMetadata{Index: new(index), Term: new(term), ConfState: m.Members()}, nil
}

// fetch fetches all pieces and gives their frames to take: the next one is on its way
// while one is taken.
func (o *offer) fetch(ctx context.Context, ends []byte, take func(frame []byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	pieces := make(chan made)
	var fetching sync.WaitGroup
	defer fetching.Wait()
	defer cancel()
	fetching.Go(func() { o.fetchPieces(ctx, ends, pieces) })
	for {
		var piece made
		select {
		case piece = <-pieces:
		case <-ctx.Done():
			return ctx.Err()
		}
		if piece.err != nil || len(piece.bytes) == 0 {
			return piece.err
		}
		if err := takeFrames(piece.bytes, take); err != nil {
			return err
		}
	}
}

// fetchPieces fetches one piece after the other, up to an empty one or an error.
func (o *offer) fetchPieces(ctx context.Context, ends []byte, pieces chan<- made) {
	for number := uint32(0); ; number++ {
		question := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, o.n), number)
		if number == 0 {
			question = append(question, ends...)
		}
		pieceCtx, cancel := context.WithTimeout(ctx, pieceTime)
		bytes, err := o.r.s.links.Call(pieceCtx, o.from, callPiece, question)
		cancel()
		select {
		case pieces <- made{bytes, err}:
		case <-ctx.Done():
			return
		}
		if err != nil || len(bytes) == 0 {
			return
		}
	}
}

// takeFrames gives the frames of a piece to take.
func takeFrames(piece []byte, take func(frame []byte) error) error {
	for len(piece) > 0 {
		if len(piece) < 4 || uint64(len(piece)-4) < uint64(binary.LittleEndian.Uint32(piece)) {
			return errPiece
		}
		end := 4 + int(binary.LittleEndian.Uint32(piece))
		if err := take(piece[4:end]); err != nil {
			return err
		}
		piece = piece[end:]
	}
	return nil
}

func (o *offer) takeGroup0(ctx context.Context) error {
	var line []byte
	err := o.fetch(ctx, nil, func(frame []byte) error {
		if line = append(line, frame...); len(line) > maxFile {
			return errPiece
		}
		return nil
	})
	if err != nil {
		return err
	}
	return o.r.group0.install(line)
}

func (o *offer) takeShard(ctx context.Context) error {
	m := o.r.machines[o.n]
	staged, err := m.Stage()
	if err != nil {
		return err
	}
	defer staged.Discard() // after Install it does nothing
	var ends []byte
	for _, e := range m.Ends() {
		ends = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(ends, e.Topic), e.Next)
	}
	if err := o.fetch(ctx, ends, staged.Put); err != nil {
		return err
	}
	return staged.Install()
}
