package state

import (
	"strings"
	"testing"

	"qmq/internal/seqset"
)

// sound is a State with a topic 1 and channels 2 and 3.
func sound() *State {
	st := New()
	st.Apply(createTopic(1, "t"))
	st.Apply(createChannel(1, 2, "c"))
	st.Apply(createChannel(1, 3, "d"))
	st.Apply(Entry{Op: GiveUp, Topic: 1, Void: seqset.Range{From: 10, To: 20}})
	st.ApplyChanges(ChannelChanges{Topic: 1, Channel: 2, Version: 1, Floor: 110, Cursor: 120, Open: []OpenMessage{{Seq: 115, Attempts: 2}}})
	st.NoteEnds([]TopicEnd{{Topic: 1, Synced: 120, Written: 130}})
	st.Finish()
	return st
}

func TestCheckFindsWhatBreaksTheInvariants(t *testing.T) {
	tests := []struct {
		name  string
		wreck func(st *State)
		want  string // part of the flaw; empty: there is none
	}{
		{"nothing", func(*State) {}, ""},
		{"incarnation", func(st *State) { st.Topics[1].Incarnation = 7 }, "is called 0000000000000007"},
		{"channel's incarnation", func(st *State) { st.Topics[1].Channels[2].Incarnation = 3 }, "is called 0000000000000003"},
		{"shared incarnation", func(st *State) {
			st.Topics[1].Channels[1] = st.Topics[1].Channels[2]
			st.Topics[1].Channels[1].Incarnation = 1
			delete(st.Topics[1].Channels, 2)
		}, "is there twice"},
		{"deleted topic", func(st *State) { st.Deleted[1] = true }, "is deleted"},
		{"deleted channel", func(st *State) { st.DeletedChannels[3] = true }, "is deleted"},
		{"too high", func(st *State) { st.MaxIncarnation = 2 }, "is above the highest"},
		{"name of two topics", func(st *State) { st.Topics[9] = &Topic{Incarnation: 9, Name: "t"}; st.MaxIncarnation = 9 }, `has the name "t"`},
		{"name of two channels", func(st *State) { st.Topics[1].Channels[3].Name = "c" }, `has the name "c"`},
		{"voids", func(st *State) { st.Topics[1].Voids = []seqset.Range{{From: 5, To: 6}, {From: 6, To: 9}} }, "voids are out of order"},
		{"given up", func(st *State) { st.Topics[1].GivenUp = []seqset.Range{{From: 5, To: 5}} }, "given up are out of order"},
		{"ends", func(st *State) { st.Topics[1].SyncedEnd = 131 }, "synced up to 131"},
		{"no state", func(st *State) { st.Topics[1].Channels[3].Acked = nil }, "has no state"},
		{"cursor below floor", func(st *State) { st.Topics[1].Channels[2].Cursor = 109 }, "are out of order"},
		{"floor below start", func(st *State) { st.Topics[1].Channels[2].Start = 111 }, "are out of order"},
		{"open and done", func(st *State) { st.Topics[1].Channels[2].Acked.Add(115) }, "message 115 is open, and done"},
		{"open below the floor", func(st *State) { st.Topics[1].Channels[2].Open.Put(OpenMessage{Seq: 109}) }, "message 109 is open"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			st := sound()
			tt.wreck(st)
			flaws := st.Check()
			switch {
			case tt.want == "" && len(flaws) > 0:
				t.Errorf("found %v", flaws)
			case tt.want != "" && (len(flaws) != 1 || !strings.Contains(flaws[0].String(), tt.want)):
				t.Errorf("found %v, want one with %q", flaws, tt.want)
			}
		})
	}
}
