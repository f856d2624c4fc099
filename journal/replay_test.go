package journal

import (
	"testing"

	"qmq/internal/seqset"
	"qmq/state"
)

func TestReplayingALogTwiceIsReplayingItOnce(t *testing.T) {
	fsys, s := writtenLog(t)
	b, err := fsys.ReadFile(logName(1))
	must(t, err)
	must(t, fsys.WriteFile(logName(2), b))
	j, st := openJournal(t, fsys)
	defer j.Close()
	wantChannel(t, st, s)
	if len(st.State.Topics) != 2 {
		t.Errorf("%d topics", len(st.State.Topics))
	}
}

// A million acknowledgements out of order, in deltas of 1,000 runs of one.
func BenchmarkReplayMillionAcks(b *testing.B) {
	const deltas, acks = 1000, 1000
	e := state.NewEncoder()
	log := appendHeader(nil, 1)
	log = appendFrame(log, 1, e.Entries([]state.Entry{createTopic(1, "t"), createChannel(1, 2, "c")}))
	for v := range uint64(deltas) {
		ch := state.ChannelChanges{Topic: 1, Channel: 2, Version: v + 1, Floor: 100, Cursor: 100 + (v+1)*acks*2}
		for i := range uint64(acks) {
			seq := 101 + v*acks*2 + i*2
			ch.Acked = append(ch.Acked, seqset.Range{From: seq, To: seq + 1})
		}
		log = appendFrame(log, 1, e.Changes(ch))
	}
	for b.Loop() {
		r := newReplay(nil, "", "", quiet())
		r.scan(&source{name: "log", bytes: log, version: version, readLog: readLog{salt: 1}})
		if r.found.State.Channel(1, 2).Version != deltas {
			b.Fatal("not replayed")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(deltas*acks), "ns/ack")
}
