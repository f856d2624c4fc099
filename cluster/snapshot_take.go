package cluster

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"sync"

	pb "go.etcd.io/raft/v3/raftpb"

	"qmq/replica"
)

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
		o.r.s.links.Reuse(piece.bytes)
	}
}

// fetchPieces fetches the pieces in order, up to an empty one or an error: one after the
// other, or several at a time, where the first one says that it may.
func (o *offer) fetchPieces(ctx context.Context, ends []byte, pieces chan<- made) {
	var asking sync.WaitGroup
	defer asking.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var asked []chan made
	number, ahead := uint32(0), 1
	for {
		for ; len(asked) < ahead; number++ {
			piece, have := make(chan made, 1), ends
			if number > 0 {
				have = nil
			}
			asked = append(asked, piece)
			next := number
			asking.Go(func() { piece <- o.fetchPiece(ctx, next, have) })
		}
		piece := <-asked[0]
		asked = asked[1:]
		if rest, marked := bytes.CutPrefix(piece.bytes, emptyFrame); marked {
			piece.bytes, ahead = rest, piecesAhead
		}
		select {
		case pieces <- piece:
		case <-ctx.Done():
			return
		}
		if piece.err != nil || len(piece.bytes) == 0 {
			return
		}
	}
}

// fetchPiece fetches a piece; with the first goes what the member has.
func (o *offer) fetchPiece(ctx context.Context, number uint32, have []byte) made {
	ctx, cancel := context.WithTimeout(ctx, pieceTime)
	defer cancel()
	question := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, o.n), number)
	piece, err := o.r.s.links.Call(ctx, o.from, callPiece, append(question, have...))
	return made{piece, err}
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

// takeShard takes what this member lacks of a shard. What has come when the giver, or the
// way to it, is lost need not come again: the next giver, whoever it is, gives what is
// behind that.
func (o *offer) takeShard(ctx context.Context) error {
	m := o.r.machines[o.n]
	staged, err := m.Stage()
	if err != nil {
		return err
	}
	defer staged.Close()
	var ends []byte
	for _, e := range staged.Ends() {
		ends = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(ends, e.Topic), e.Next)
	}
	if err := o.fetch(ctx, append(ends, takesSealed|takesAhead), staged.Put); err != nil {
		return err
	}
	return staged.Install()
}
