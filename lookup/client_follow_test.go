package lookup

import (
	"context"
	"errors"
	"log/slog"
	"testing"
)

func newLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestWritersOfDirectoriesAreMerged(t *testing.T) {
	d := openDirectory(t)
	a := d.joinAs("a", "h", 1, 2)
	a.tell("REGISTER t", "PING all")
	d.joinAs("c", "h", 1, 2).tell("PING none drained")
	ours := d.httpServer()
	stock := answers(t, map[string]string{
		"GET /lookup?access=w&topic=t": `{"channels":[],"producers":[` + producerJSON("r", "b", "1") + `}]}`,
		"GET /nodes": `{"producers":[` + producerJSON("r", "a", "1") + `,"tombstones":[],"topics":[]},` +
			producerJSON("r", "b", "1") + `,"tombstones":[false],"topics":["t"]},` +
			producerJSON("r", "e", "1") + `,"tombstones":[true],"topics":["t"]},` +
			producerJSON("r", "bad host", "1") + `,"tombstones":[],"topics":[]}]}`,
	})
	c := newTestClient(t)
	answer, err := c.Writers(t.Context(), []string{unreachable(t), ours, stock}, "t")
	if partial := (*PartialError)(nil); !errors.As(err, &partial) || partial.All() {
		t.Error(err)
	}
	if got, want := answer.text(), "a:0all b:0 not c:2 (drained)"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if answer, err := c.Writers(t.Context(), []string{ours}, "unknown"); err != nil || answer.text() != "a:1all not c:2 (drained)" {
		t.Error(answer.text(), err)
	}
	if answer, err := c.Writers(t.Context(), []string{stock}, "unknown"); err != nil || answer.text() != "a:1 b:1 e:1" {
		t.Error(answer.text(), err)
	}
}

// TestFollowerIsToldOfChanges follows a directory of ours and one that cannot wait.
func TestFollowerIsToldOfChanges(t *testing.T) {
	d := openDirectory(t)
	a := d.join("a")
	ours := d.httpServer()
	stock := answers(t, map[string]string{})
	ctx, cancel := context.WithCancel(t.Context())
	changes, ended := make(chan struct{}, 10), make(chan struct{})
	c := newTestClient(t)
	go func() {
		defer close(ended)
		c.Follow(ctx, []string{ours, stock}, "t", false, func() { changes <- struct{}{} })
	}()
	<-changes // at first
	a.tell("REGISTER t")
	<-changes
	a.tell("UNREGISTER t")
	<-changes
	cancel()
	<-ended
}
