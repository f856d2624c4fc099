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

	"qmq/replica/machine"
)

// A member that is behind the log is told by the leader that there is a snapshot
// (callTake), and fetches it, piece by piece (callPiece): the state of the shard, and the
// records that it lacks. The call for it ends when it has all, or will not. A member that
// fetches nothing holds nothing up.
//
//	callTake:  shard u32                          answer: nothing
//	callPiece: shard u32, piece's number u32      answer: (length u32, frame)…; empty after the last
//	           with 0, what the member has: (topic u64, next u64)…, takes u8
//
// takes says what a member takes that those of former versions do not know, which neither
// send nor look at it: 1, frames of sealed records (replica/machine/sealed.go), and 2, a frame of length
// 0 at the front of the first piece. That says that pieces may be asked for before those
// in front of them have come: then the way there and back is waited for once, not for each.
const (
	endBytes = 2 * 8

	takesSealed, takesAhead = 1, 2
	// piecesAhead is how many pieces are asked for at a time.
	piecesAhead = 4
	pieceHead   = 2 * 4
	// pieceBytes is about how long a piece is. Both sides work on one for well under a
	// millisecond: whoever publishes meanwhile finds no processor taken for longer.
	pieceBytes = 192 << 10
	pieceTime  = 30 * time.Second
	// offerAgain is how long after an offer that was not taken there is no other to the
	// same member.
	offerAgain = 500 * time.Millisecond
	// paceSlack is how much time a member that was held up may make up for, in one go, and
	// paceDebt how long a piece waits at most because of what was given before.
	paceSlack, paceDebt = 10 * time.Millisecond, pieceTime / 3
)

// offerer offers snapshots of a shard to those who are behind. It is a
// replica.Snapshots.
type offerer struct {
	r *run
	n uint32
}

// emptyFrame is a frame of length 0.
var emptyFrame = make([]byte, 4)

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
	marked bool          // the first piece is to say that others may be asked for ahead
	number uint32        // of the next piece
	turned chan struct{} // closed when number changes; nil: nobody waits for that
	over   bool          // nothing more is given
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
	g.over = true
	g.turn()
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
	if err := g.await(ctx, number); err != nil {
		return nil, err
	}
	defer g.mu.Unlock()
	if g.next == nil {
		if err := r.beginGiving(g, n, body[pieceHead:]); err != nil {
			return nil, err
		}
	}
	piece, err := g.piece()
	defer g.turn()
	if err != nil {
		return nil, err
	}
	g.bytes.Add(int64(len(piece)))
	r.s.counts.count(sentSnapshots, true, piece)
	return piece, r.offers.pace.wait(ctx, len(piece))
}

// await waits until it is the turn of a piece, and returns with mu held without an error.
func (g *given) await(ctx context.Context, number uint32) error {
	g.mu.Lock()
	for g.over || number != g.number {
		if g.over || number-g.number >= piecesAhead || g.next == nil {
			g.mu.Unlock()
			return errPiece
		}
		if g.turned == nil {
			g.turned = make(chan struct{})
		}
		turned := g.turned
		g.mu.Unlock()
		select {
		case <-turned:
		case <-ctx.Done():
			return ctx.Err()
		}
		g.mu.Lock()
	}
	return nil
}

// turn makes it the turn of the next piece. mu is held.
func (g *given) turn() {
	g.number++
	if g.turned != nil {
		close(g.turned)
		g.turned = nil
	}
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

// pieceMemory is that of pieces, which are used again: the garbage collector would run all
// the time for them alone.
var pieceMemory = sync.Pool{New: func() any {
	const more = 128 << 10 // for what the last frame of a piece has more
	piece := make([]byte, 0, pieceBytes+more)
	return &piece
}}

// reusePiece takes the memory of a piece that is on its way, unless a long message has
// made it large.
func reusePiece(piece []byte) {
	if c := cap(piece); c >= pieceBytes && c <= 4*pieceBytes {
		piece = piece[:0]
		pieceMemory.Put(&piece)
	}
}

// make makes the next piece. One goroutine at a time calls it.
func (g *given) make() (piece []byte, err error) {
	piece = *pieceMemory.Get().(*[]byte)
	if g.marked {
		piece, g.marked = append(piece, emptyFrame...), false
	}
	for len(piece) < pieceBytes {
		at := len(piece)
		piece, err = g.next(append(piece, 0, 0, 0, 0))
		if errors.Is(err, io.EOF) && at == 0 {
			reusePiece(piece)
			return nil, nil // who asks again is given it again
		}
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
	if len(have) == 1 {
		if have[0]&takesSealed != 0 {
			s.Sealed()
		}
		g.marked = have[0]&takesAhead != 0
	}
	g.next, g.done = s.Next, s.Close
	return nil
}
