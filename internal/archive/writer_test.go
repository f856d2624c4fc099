package archive

import (
	"testing"
	"time"
)

// TestMessagesOfOneTimeCostNoAllocation: they come by the hundred, and what is the same
// for all of them is found out once.
func TestMessagesOfOneTimeCostNoAllocation(t *testing.T) {
	w, err := NewWriter("topic", Options{Naming: Naming{Format: "<TOPIC>.<HOST><REV>.<DATETIME>.log", DateTime: "%Y-%m-%d_%H", Host: "host"}, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	now, line := time.Unix(3600, 0), []byte("a line")
	put := func() {
		if w.Due(now) {
			t.Fatal("a new file is due")
		}
		if err := w.Append(now, line); err != nil {
			t.Fatal(err)
		}
	}
	put()
	if n := testing.AllocsPerRun(100, put); n > 0 {
		t.Errorf("%v allocations a message", n)
	}
	now = now.Add(time.Hour)
	for range 2 {
		if !w.Due(now) {
			t.Error("no new file is due in the next hour")
		}
	}
	if err := w.Sync(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	put()
	put()
}
