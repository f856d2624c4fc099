package lookup

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// commands are what a directory is sent for changes.
func commands(changes []change) (list []string) {
	for _, c := range changes {
		list = append(list, strings.TrimSpace(string(c.append(nil))))
	}
	return list
}

func wantCommands(t *testing.T, changes []change, want ...string) {
	t.Helper()
	if got := commands(changes); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func nothing() {}

func TestFollowerGetsWhatIsThereAndThenEveryChangeInOrder(t *testing.T) {
	d := newRegistrations()
	d.register("t", 1, "")
	d.register("u", 2, "")
	d.register("t", 1, "c")
	d.register("t", 1, "c")
	woken := 0
	f, all := d.follow(func() { woken++ })
	got := commands(all)
	slices.Sort(got)
	if want := []string{"REGISTER t c", "REGISTER u"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	d.register("t", 1, "e#ephemeral")
	d.unregister("t", 1, "e#ephemeral")
	d.unregister("t", 1, "unknown")
	d.unregister("t", 1, "")
	d.unregister("t", 1, "")
	d.register("t", 3, "")
	if woken != 5 {
		t.Errorf("woken %d times", woken)
	}
	changes, err := f.take(2)
	if err != nil {
		t.Error(err)
	}
	wantCommands(t, changes, "REGISTER t e#ephemeral", "UNREGISTER t e#ephemeral")
	changes, _ = f.take(10)
	wantCommands(t, changes, "UNREGISTER t", "UNREGISTER t c", "REGISTER t")
	changes, _ = f.take(10)
	wantCommands(t, changes)
}

func TestWhatComesLateFromAnEarlierIncarnationChangesNothing(t *testing.T) {
	d := newRegistrations()
	d.register("t", 1, "")
	d.register("t", 2, "") // the end of the first was not told
	f, _ := d.follow(nothing)
	d.register("t", 1, "late")
	d.register("t", 1, "")
	d.register("t", 2, "c")
	d.unregister("t", 1, "c")
	d.unregister("t", 1, "")
	d.unregister("t", 2, "")
	d.register("t", 2, "late")
	changes, _ := f.take(10)
	wantCommands(t, changes, "REGISTER t c", "UNREGISTER t", "UNREGISTER t c")
}

func TestChangesAreForgottenWhenAllFollowersHaveThem(t *testing.T) {
	d := newRegistrations()
	churn := func(n int) {
		for i := range n {
			d.register(fmt.Sprint(i), 1, "")
			d.unregister(fmt.Sprint(i), 1, "")
		}
	}
	churn(10)
	fast, _ := d.follow(nothing)
	slow, _ := d.follow(nothing)
	churn(10)
	if changes, _ := fast.take(100); len(changes) != 20 || len(d.changes) != 20 {
		t.Errorf("%d taken, %d kept", len(changes), len(d.changes))
	}
	if changes, _ := slow.take(5); len(changes) != 5 || len(d.changes) != 15 {
		t.Errorf("%d taken, %d kept", len(changes), len(d.changes))
	}
	slow.stop()
	if len(d.changes) != 0 || len(d.topics) != 0 {
		t.Errorf("%d changes and %d topics are kept", len(d.changes), len(d.topics))
	}
	fast.stop()
	churn(10)
	if len(d.changes) != 0 {
		t.Errorf("%d changes are kept for nobody", len(d.changes))
	}
}

func TestFollowerThatTakesNothingIsGivenUp(t *testing.T) {
	d := newRegistrations()
	stuck, _ := d.follow(nothing)
	fast, _ := d.follow(nothing)
	d.register("t", 1, "")
	for range maxBehind {
		d.register("t", 1, "c")
		d.unregister("t", 1, "c")
		if changes, err := fast.take(2); err != nil || len(changes) == 0 {
			t.Fatal(changes, err)
		}
	}
	if _, err := stuck.take(1); !errors.Is(err, errBehind) {
		t.Errorf("got %v", err)
	}
	if len(d.changes) > 10 {
		t.Errorf("%d changes are kept", len(d.changes))
	}
	stuck.stop()
}
