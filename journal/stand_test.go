package journal

import (
	"testing"

	"qmq/internal/vfs/crashfs"
	"qmq/state"
)

func TestStandingFanOutIsRememberedAndNeverGoesBack(t *testing.T) {
	fsys := crashfs.New(1)
	j, _ := openJournal(t, fsys)
	must(t, j.Commit(createTopic(1, "t")))
	must(t, j.Commit(state.Entry{Op: state.SetFanOut, Topic: 1, FanOut: 500}, state.Entry{Op: state.SetFanOut, Topic: 9, FanOut: 7}))
	must(t, j.Commit(state.Entry{Op: state.SetFanOut, Topic: 1, FanOut: 400}))
	fsys.Kill()
	_ = j.Close() // its file system is gone
	for _, from := range []string{"log", "checkpoint"} {
		j, st := openJournal(t, fsys)
		if len(st.State.Topics) != 1 || st.State.Topics[1].FanOut != 500 {
			t.Errorf("%s: fan-out %d, %d topics; want 500, 1", from, st.State.Topics[1].FanOut, len(st.State.Topics))
		}
		must(t, j.Close())
	}
}
