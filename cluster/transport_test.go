package cluster

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// What is sent in pieces is what raft wanted said, and its message is left as it was.
func TestPiecesOfAMessageAreTheMessage(t *testing.T) {
	entry := func(index uint64, data []byte) *pb.Entry {
		return &pb.Entry{Type: pb.EntryNormal.Enum(), Term: new(uint64(7)), Index: new(index), Data: data}
	}
	for name, entries := range map[string][]*pb.Entry{
		"no entries": nil,
		"one":        {entry(9, []byte("data"))},
		"several":    {entry(9, bytes.Repeat([]byte("x"), 300)), entry(10, []byte{}), entry(1<<40, []byte("last"))},
		"a change":   {{Type: pb.EntryConfChangeV2.Enum(), Term: new(uint64(7)), Index: new(uint64(9)), Data: []byte("change")}},
	} {
		t.Run(name, func(t *testing.T) {
			m := &pb.Message{
				Type: pb.MsgApp.Enum(), To: new(uint64(1)), From: new(uint64(2)), Term: new(uint64(8)), LogTerm: new(uint64(6)),
				Index: new(uint64(8)), Commit: new(uint64(5)), Reject: new(true), RejectHint: new(uint64(3)), Context: []byte("c"),
				Responses: []*pb.Message{{Type: pb.MsgAppResp.Enum(), Index: new(uint64(4))}}, Entries: entries,
			}
			was := proto.Clone(m).(*pb.Message)
			pieces, err := encodeRaft(11, m)
			if err != nil || !proto.Equal(m, was) {
				t.Fatalf("%v, %v is left", err, m)
			}
			frame := slices.Concat(pieces...)
			got := new(pb.Message)
			if err := proto.Unmarshal(frame[4:], got); err != nil || !proto.Equal(got, was) || binary.LittleEndian.Uint32(frame) != 11 {
				t.Errorf("%v, %v came", err, got)
			}
			if got, err := decodeRaft(frame[4:]); err != nil || !proto.Equal(got, was) {
				t.Errorf("%v, %v was read", err, got)
			}
			for n := range frame[4:] {
				got, err := decodeRaft(frame[4:][:n])
				want := new(pb.Message)
				if unread := proto.Unmarshal(frame[4:][:n], want); (err == nil) != (unread == nil) || err == nil && !proto.Equal(got, want) {
					t.Errorf("of %d bytes: %v, %v was read, want %v, %v", n, err, got, unread, want)
				}
			}
		})
	}
}
