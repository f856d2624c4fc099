package cluster

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"qmq/diskqueue"
	"qmq/internal/vfs"
	entries "qmq/replica/entry"
	"qmq/replica/machine"
	"qmq/state"
	"qmq/topic"
)

// TestAMemberWithLessMemoryThanItsSetHoldsSaysSo at its start, of what is set of topics; it is
// in force all the same.
func TestAMemberWithLessMemoryThanItsSetHoldsSaysSo(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	m, err := machine.Open(machine.Options{
		Dir: "/d", Shared: diskqueue.NewShared(diskqueue.SharedOptions{FS: vfs.NewMem(), RecycleDir: "/d/recycled", HotBytes: 1 << 20, Logger: logger}),
		SegmentBytes: 1 << 20, HotMessages: 10, Now: func() int64 { return 1 }, Logger: logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	e := entries.Entry{Topology: []state.Entry{
		{Op: state.CreateTopic, Topic: 1, Name: "much"}, {Op: state.ConfigureTopic, Topic: 1, Name: `{"dedup_max_ids":100,"dedup_window":"1m"}`},
		{Op: state.CreateTopic, Topic: 2, Name: "few"}, {Op: state.ConfigureTopic, Topic: 2, Name: `{"dedup_max_ids":10,"dedup_window":"1m"}`},
		{Op: state.CreateTopic, Topic: 3, Name: "nothing"},
	}}
	if _, err := m.Apply(1, 1, e.AppendTo(nil)); err != nil {
		t.Fatal(err)
	}
	r := &run{s: &Set{h: Host{Common: &topic.Common{MaxIDs: 10, Logger: logger}}}}
	r.tellUnmet(m)
	if n := strings.Count(log.String(), "cannot be met here any more"); n != 1 ||
		!strings.Contains(log.String(), "topic=much") || !strings.Contains(log.String(), "not 100") || !strings.Contains(log.String(), "in force is 100") {
		t.Errorf("told %q", log.String())
	}
}
