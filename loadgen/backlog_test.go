package loadgen

import (
	"context"
	"errors"
	"testing"
)

func TestBacklogStandsBetweenItsMeasurements(t *testing.T) {
	target, nodes := startQD(t)
	b, err := OpenBacklog(t.Context(), target, Load{Batch: 10, Window: 2, Channels: 2, Ready: 5, Body: 100})
	if err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		r, err := b.Publish(t.Context(), 500)
		if err != nil || r.Messages != 500 || r.Seconds <= 0 || *r.ServerCPU <= 0 {
			t.Fatalf("round %d: published %+v, %v", round, r, err)
		}
		if r, err = b.Consume(t.Context(), 200); err != nil || r.Messages < 1 || r.Rate <= 0 || r.Altered != 0 {
			t.Fatalf("round %d: consumed %+v, %v", round, r, err)
		}
		// Until the server reads that the consumers want no more, some come in
		// addition: how many is up to the scheduler.
		if left := b.run.stands(); left > 200 || left < 0 {
			t.Errorf("round %d: %d messages stand", round, left)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if topics := nodes.Topics(); len(topics) != 0 {
		t.Errorf("%d topics are left", len(topics))
	}
}

func TestBacklogThatIsNotDeliveredIsAnError(t *testing.T) {
	t.Parallel()
	target := startFake(t, &fake{deal: func(b [][]byte) []delivery { return asSent(b[1:]...) }})
	b, err := OpenBacklog(t.Context(), target, Load{Batch: 10, Channels: 1, IdleTimeout: silence})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := b.Publish(t.Context(), 10); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Consume(t.Context(), 0); err == nil || err.Error() != "loadgen: 1 messages do not come" {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Consume(ctx, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("error of an interruption: %v", err)
	}
}

func TestHeldMessagesComeToNobodyElse(t *testing.T) {
	target, nodes := startQD(t)
	h, err := Hold(t.Context(), target, "t", "c0", 70)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if _, err := Run(t.Context(), target, Load{Topic: "t", Batch: 10, Measure: Amount{Messages: 70}}, nil); err != nil {
		t.Fatal(err)
	}
	if err := h.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), target, Load{Topic: "t", Batch: 10, Channels: 1, Measure: Amount{Messages: 100}}, nil)
	if err != nil || !r.Sound() || r.Deliveries != 100 || r.Checked != 100 {
		t.Errorf("%+v, %v", r, err)
	}
	if topics := nodes.Topics(); len(topics) != 1 {
		t.Errorf("%d topics", len(topics))
	}
}

func TestHolderThatTheServerRefusesIsAnError(t *testing.T) {
	target, _ := startQD(t)
	h, err := Hold(t.Context(), target, "t", "c0", 1<<20) // above the highest RDY count
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := h.Await(t.Context()); err == nil {
		t.Error("messages have come")
	}
}
