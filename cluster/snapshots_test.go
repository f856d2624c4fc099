package cluster

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"qmq/diskqueue"
	"qmq/internal/vfs"
	"qmq/message"
	"qmq/replica"
	raftentry "qmq/replica/entry"
	"qmq/replica/machine"
	"qmq/state"
)

// giverOf is a member that gives the snapshot of a shard, with some megabytes of messages
// in one topic, to member 2.
func giverOf(t *testing.T, megabytes int) *run {
	m := machineIn(t)
	apply := func(e *raftentry.Entry) {
		t.Helper()
		index, _ := m.Applied()
		if _, err := m.Apply(index+1, 1, e.AppendTo(nil)); err != nil {
			t.Fatal(err)
		}
	}
	apply(&raftentry.Entry{Topology: []state.Entry{{Op: state.CreateTopic, Name: "t"}}})
	for n := range uint64(megabytes) {
		b := new(diskqueue.Batch)
		for i := range 100 {
			b.Add(&message.Meta{Timestamp: 1}, bytes.Repeat([]byte{byte(n), byte(i)}, 5<<10))
		}
		apply(&raftentry.Entry{Parts: []raftentry.Part{{Topic: 1, Origin: raftentry.Origin{Member: 1, Epoch: 1, Number: n + 1}, Batch: b}}})
	}
	r := &run{s: new(Set)}
	r.machines[1] = m
	r.offers.offers = map[offerID]*given{{1, 2}: new(given)}
	return r
}

func machineIn(t *testing.T) *machine.Machine {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	m, err := machine.Open(machine.Options{
		Shard: 1, Dir: t.TempDir(), SegmentBytes: 8 << 20, Logger: quiet, Now: func() int64 { return 1 << 60 },
		Shared: diskqueue.NewShared(diskqueue.SharedOptions{FS: vfs.OS, Logger: quiet}),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// ask asks for a piece as member 2.
func (r *run) ask(ctx context.Context, number uint32, have ...byte) ([]byte, error) {
	question := binary.LittleEndian.AppendUint32([]byte{1, 0, 0, 0}, number)
	piece, err := r.givePiece(ctx, 2, append(question, have...))
	sent := bytes.Clone(piece)
	reusePiece(piece)
	return sent, err
}

// takeAll stages what pieces have and installs it.
func takeAll(t *testing.T, pieces [][]byte) *machine.Machine {
	t.Helper()
	m := machineIn(t)
	s, err := m.Stage()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, piece := range pieces {
		if err := takeFrames(piece, s.Put); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Install(); err != nil {
		t.Fatal(err)
	}
	return m
}

// A member of a former version asks for one piece after the other, and gets nothing that
// it does not know.
func TestSnapshotForAMemberOfAFormerVersion(t *testing.T) {
	r := giverOf(t, 5)
	var pieces [][]byte
	for number := uint32(0); ; number++ {
		piece, err := r.ask(t.Context(), number)
		if err != nil {
			t.Fatal(err)
		}
		if len(piece) == 0 {
			break
		}
		err = takeFrames(piece, func(frame []byte) error {
			const header, sealed = 8, 9
			if len(frame) == 0 || frame[header] == sealed {
				t.Errorf("piece %d has a frame that it does not know", number)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		pieces = append(pieces, piece)
	}
	if len(pieces) < 5 {
		t.Errorf("%d pieces", len(pieces))
	}
	if names := takeAll(t, pieces).Topics(); names["t"] != 1 {
		t.Errorf("%v", names)
	}
	r.offers.offers[offerID{1, 2}].end()
}

// Pieces that are asked for ahead, in any order, are those that come one after the other.
func TestPiecesMayBeAskedForAhead(t *testing.T) {
	r := giverOf(t, 5)
	first, err := r.ask(t.Context(), 0, takesSealed|takesAhead)
	if err != nil || !bytes.HasPrefix(first, emptyFrame) {
		t.Fatalf("the first piece does not say that it may be so: %.8x, %v", first, err)
	}
	pieces := [][]byte{first[len(emptyFrame):]}
	for number := uint32(1); len(pieces[len(pieces)-1]) > 0; number += piecesAhead {
		if _, err := r.ask(t.Context(), number+piecesAhead); !errors.Is(err, errPiece) {
			t.Fatalf("a piece that is too far ahead: %v", err)
		}
		var got [piecesAhead][]byte
		var asking sync.WaitGroup
		for i := range uint32(piecesAhead) {
			asking.Go(func() {
				var err error
				if got[i], err = r.ask(t.Context(), number+piecesAhead-1-i); err != nil {
					t.Error(err)
				}
			})
		}
		asking.Wait()
		slices.Reverse(got[:])
		pieces = append(pieces, got[:]...)
	}
	if _, err := r.ask(t.Context(), 1); !errors.Is(err, errPiece) {
		t.Errorf("a piece that was given: %v", err)
	}
	for i, piece := range pieces {
		if len(piece) == 0 && len(slices.Concat(pieces[i:]...)) > 0 {
			t.Error("something comes behind the last piece")
		}
	}
	m := takeAll(t, pieces)
	v, err := m.Topic(1)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Release()
	reader := v.Log.NewReader()
	defer reader.Release()
	for i := range uint64(500) {
		message, err := reader.Read(v.Next - 500 + i)
		if err != nil || !bytes.Equal(message.Body[:2], []byte{byte(i / 100), byte(i % 100)}) {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	r.offers.offers[offerID{1, 2}].end()
}

// However often it is asked for what comes behind the last piece: no two pieces have the
// same memory.
func TestMemoryOfPiecesIsUsedByOneAtATime(t *testing.T) {
	r := giverOf(t, 1)
	for number := uint32(0); number < 8+piecesAhead; number++ {
		if _, err := r.ask(t.Context(), number, takesSealed|takesAhead); err != nil {
			t.Fatal(err)
		}
	}
	used := make(map[*byte]bool)
	for range 8 + piecesAhead {
		piece := *pieceMemory.Get().(*[]byte)
		if at := &piece[:1][0]; used[at] {
			t.Fatal("two pieces have the same memory")
		} else {
			used[at] = true
		}
	}
	r.offers.offers[offerID{1, 2}].end()
}

// Who waits for a piece that does not come is told when the offer has ended.
func TestPieceOfAnOfferThatHasEndedIsRefused(t *testing.T) {
	r := giverOf(t, 1)
	if _, err := r.ask(t.Context(), 0, takesSealed|takesAhead); err != nil {
		t.Fatal(err)
	}
	refused := make(chan error)
	go func() {
		_, err := r.ask(t.Context(), 2)
		refused <- err
	}()
	r.offers.offers[offerID{1, 2}].end()
	if err := <-refused; !errors.Is(err, errPiece) {
		t.Error(err)
	}
	if _, err := r.ask(t.Context(), 1); !errors.Is(err, errPiece) {
		t.Error(err)
	}
}

// Frames that say that they are longer than what has come, or parts of one, are none.
func TestPiecesThatMakeNoSense(t *testing.T) {
	for _, piece := range []string{"\x01", "\x05\x00\x00\x00abcd", strings.Repeat("\xff", 9)} {
		if err := takeFrames([]byte(piece), func([]byte) error { return nil }); !errors.Is(err, errPiece) {
			t.Errorf("%q: %v", piece, err)
		}
	}
}

// A member that lacks more than any of its connections lasts for becomes whole, also when
// another member leads meanwhile: what has come need not come again.
func TestMemberIsFilledOverLinksThatDoNotLast(t *testing.T) {
	const messages, size, lasts = 500, 10 << 10, 2 << 20
	g := startRig(t)
	g.change(g.members[0], state.CreateTopic, "orders", "")
	g.change(g.members[0], state.CreateChannel, "orders", "work")
	body := strings.Repeat("x", size)
	for range 10 {
		g.publish(g.members[0], "orders", body, messages/10)
	}
	shard := shardOf("orders")
	leader := g.leader(shard)
	others := g.others(leader)
	m, other := others[0], others[1]
	for _, giver := range []*rigMember{leader, other} {
		g.shorten(m, giver, lasts)
	}
	was := m.who().Member
	m.run.Load().alarm(shard, replica.ErrForgetful)
	votes := func() bool {
		now := m.who().Member
		all := leader.registry.Load()
		return now != was && all.member(was) == nil && all.member(now) != nil && !all.member(now).Joining
	}
	g.eventually("it is given some of what it lacks", func() bool {
		for of, bytes := range leader.run.Load().offers.given() {
			if of.shard == shard && bytes > lasts/2 {
				return true
			}
		}
		return votes()
	})
	g.asks("move", func() error { return leader.Move(t.Context(), shard, other.o.Address) })
	g.eventually("it has a vote under another id", votes)
	g.eventually("it has all messages", func() bool { return m.countMessages(shard, "orders") == messages })
}

// countMessages is how many messages of a topic can be read at a member.
func (m *rigMember) countMessages(shard uint32, name string) (n int) {
	r := m.run.Load()
	if r == nil {
		return 0
	}
	incarnation, _ := r.machines[shard].Incarnation(name)
	v, err := r.machines[shard].Topic(incarnation)
	if err != nil {
		return 0
	}
	defer v.Release()
	reader := v.Log.NewReader()
	defer reader.Release()
	for seq := v.Log.Start(); seq < v.Next; seq++ {
		if _, err := reader.Read(seq); err == nil {
			n++
		}
	}
	return n
}
