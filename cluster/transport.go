package cluster

import (
	"bytes"
	"encoding/binary"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"qmq/cluster/link"
	"qmq/replica"
)

// A frame of kindRaft is a shard's number, u32, and a raftpb.Message.

// send sends what a shard has to say. It is that shard's replica.Options.Send.
func (r *run) send(shard uint32, messages []*pb.Message) {
	for _, m := range messages {
		frame, err := encodeRaft(shard, m)
		queued := err == nil && r.s.links.Send(m.GetTo(), laneOf(m), kindRaft, frame...)
		r.s.counts.count(sentLog, queued, frame...)
		if !queued {
			if s := r.shard(shard); s != nil && raftCares(m) {
				s.Unreachable(m.GetTo())
			}
		}
	}
}

// encodeRaft is a frame of kindRaft in pieces, which follow one another. The data of
// entries are pieces of their own, as they are: they are copied once, into the outbox.
func encodeRaft(shard uint32, m *pb.Message) (pieces [][]byte, err error) {
	entries := m.Entries
	m.Entries = nil
	const more = 64 // for what is around the data of an entry
	head := binary.LittleEndian.AppendUint32(make([]byte, 0, 4+proto.Size(m)+more*len(entries)), shard)
	head, err = proto.MarshalOptions{}.MarshalAppend(head, m)
	m.Entries = entries
	if err != nil {
		return nil, err
	}
	begin := 0
	for _, e := range entries {
		rest := &pb.Entry{Type: e.Type, Term: e.Term, Index: e.Index}
		size := proto.Size(rest) + protowire.SizeTag(dataField) + protowire.SizeBytes(len(e.Data))
		head = protowire.AppendVarint(protowire.AppendTag(head, entriesField, protowire.BytesType), uint64(size))
		if head, err = (proto.MarshalOptions{}).MarshalAppend(head, rest); err != nil {
			return nil, err
		}
		head = protowire.AppendVarint(protowire.AppendTag(head, dataField, protowire.BytesType), uint64(len(e.Data)))
		pieces = append(pieces, head[begin:len(head):len(head)], e.Data)
		begin = len(head)
	}
	if begin < len(head) {
		pieces = append(pieces, head[begin:])
	}
	return pieces, nil
}

// entriesField is that of a Message, dataField that of an Entry.
const entriesField, dataField = 7, 4

// decodeRaft reads a message. The data of its entries are where they were in b.
func decodeRaft(b []byte) (*pb.Message, error) {
	m := new(pb.Message)
	rest, err := takeFields(b, entriesField, func(content []byte) error {
		e := new(pb.Entry)
		rest, err := takeFields(content, dataField, func(data []byte) error {
			e.Data = data
			return nil
		})
		if err != nil {
			return err
		}
		m.Entries = append(m.Entries, e)
		return proto.UnmarshalOptions{Merge: true}.Unmarshal(rest, e)
	})
	if err != nil {
		return nil, err
	}
	return m, proto.UnmarshalOptions{Merge: true}.Unmarshal(rest, m)
}

// takeFields gives the contents of the fields with a number to take, and returns a copy
// of all others.
func takeFields(b []byte, number protowire.Number, take func(content []byte) error) (rest []byte, err error) {
	for len(b) > 0 {
		n, kind, tag := protowire.ConsumeTag(b)
		if tag < 0 {
			return nil, protowire.ParseError(tag)
		}
		size := protowire.ConsumeFieldValue(n, kind, b[tag:])
		if size < 0 {
			return nil, protowire.ParseError(size)
		}
		field := b[:tag+size]
		b = b[tag+size:]
		if n != number || kind != protowire.BytesType {
			rest = append(rest, field...)
			continue
		}
		content, _ := protowire.ConsumeBytes(field[tag:])
		if err := take(content[:len(content):len(content)]); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

// laneOf is where a message goes: what may be large must not be before what must not
// wait.
func laneOf(m *pb.Message) link.Lane {
	if len(m.GetEntries()) > 0 {
		return link.Bulk
	}
	return link.Control
}

// raftCares tells whether the loss of a message is of interest to its sender.
func raftCares(m *pb.Message) bool { return m.GetType() == pb.MsgApp || m.GetType() == pb.MsgHeartbeat }

// receiveRaft takes a frame of kindRaft. What makes no sense is passed over: shards
// count what they refuse.
func (s *Set) receiveRaft(from uint64, frame []byte) {
	r := s.run.Load()
	if r == nil || len(frame) < 4 {
		return
	}
	shard := r.shard(binary.LittleEndian.Uint32(frame))
	if len(frame) < link.KeptBytes {
		frame = bytes.Clone(frame) // it is not ours to keep
	}
	m, err := decodeRaft(frame[4:])
	if shard == nil || err != nil {
		return
	}
	if m.GetFrom() != from || m.GetTo() != r.member || m.GetType() == pb.MsgSnap || raft.IsLocalMsgTarget(m.GetFrom()) {
		return
	}
	shard.Step(m)
}

// shard is the one with a number; nil: there is none, or not yet.
func (r *run) shard(number uint32) *replica.Shard {
	if number > Shards {
		return nil
	}
	return r.shards[number].Load()
}
