// Package node makes brokers for the tests of what is built on them.
package node

import (
	"log/slog"
	"testing"
	"time"

	"qmq/broker"
	"qmq/internal/vfs"
)

// Options are those of a broker in memory with small segments.
func Options() broker.Options {
	return broker.Options{
		FS:            vfs.NewMem(),
		DataPath:      "data",
		NodeID:        1,
		SegmentBytes:  1 << 20,
		HotBytes:      16 << 20,
		MemQueueSize:  10000,
		SyncEvery:     2500,
		SyncTimeout:   2 * time.Second,
		MaxMsgTimeout: 15 * time.Minute,
		MaxReqTimeout: time.Hour,
		Logger:        slog.New(slog.DiscardHandler),
	}
}

// Open opens a broker until the end of the test, by when nobody may use it.
func Open(t testing.TB, change ...func(*broker.Options)) *broker.Broker {
	t.Helper()
	o := Options()
	for _, c := range change {
		c(&o)
	}
	if err := o.FS.MkdirAll(o.DataPath); err != nil {
		t.Fatal(err)
	}
	b, err := broker.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}
