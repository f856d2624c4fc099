package raftlog

import (
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
)

var update = flag.Bool("update", false, "write what is found to testdata")

// TestBytesOnDiskAreAsTheyWere: what one version writes the next one reads, so
// the bytes do not change unless docs/format.md does.
func TestBytesOnDiskAreAsTheyWere(t *testing.T) {
	h := header{cluster: 7, node: 3, number: 12, salt: 0x5a17, size: 64 << 20}
	e := encoder{salt: h.salt, start: firstRecord, synced: firstRecord}
	members := &raftpb.ConfState{Voters: []uint64{1, 2}, Learners: []uint64{3}, VotersOutgoing: []uint64{4}, LearnersNext: []uint64{5}, AutoLeave: new(true)}
	e.begun(begin{previous: 11, end: 9000, session: session{noSync: true, doubt: true, boot: "monday"}})
	e.state(4, state{hard: hardState{9, 2, 100}, last: position{120, 8}, members: members})
	e.state(5, state{})
	e.endUpdate()
	e.snapshot(4, &raftpb.SnapshotMetadata{Index: new(uint64(130)), Term: new(uint64(9)), ConfState: members})
	e.entry(4, &raftpb.Entry{Index: new(uint64(131)), Term: new(uint64(9)), Type: raftpb.EntryConfChangeV2.Enum(), Data: []byte("change")})
	e.entry(4, &raftpb.Entry{Index: new(uint64(132)), Term: new(uint64(9))})
	e.hardState(4, hardState{9, 2, 130})
	e.endUpdate()
	e.synced = e.offset()
	e.opened(session{boot: "tuesday"})
	e.endUpdate()
	e.closed()
	e.endUpdate()

	var out strings.Builder
	fmt.Fprintf(&out, "header\n%s", hex.Dump(h.encode()))
	for at := int64(0); at < int64(len(e.buf)); {
		r, ok := decodeRecord(e.buf[at:], h.salt, firstRecord+at)
		if !ok {
			t.Fatalf("no record at %d", at)
		}
		fmt.Fprintf(&out, "record at %d, %d bytes of payload\n%s", r.offset, binary.LittleEndian.Uint32(e.buf[at:]), hex.Dump(e.buf[at:at+r.size]))
		at += r.size
	}
	const path = "testdata/bytes.golden"
	if *update {
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		t.Errorf("the bytes are\n%s\nwant\n%s", out.String(), want)
	}
}
