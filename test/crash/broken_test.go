package crash

import (
	"os"
	"sync"
	"testing"

	"qmq/test/process"
)

// Variables of patched daemons: by how much the system clock is off, and which
// of the broken ones it is.
const (
	clockVariable = "QD_CRASH_CLOCK"
	faultVariable = "QD_CRASH_FAULT"
)

// patch replaces a snippet of a source file, as in process.Patch.
type patch struct{ File, Old, New string }

// steppedClock reads a system clock that is off by the duration in the
// environment. It is no fault: the good daemon must bear it.
var steppedClock = []patch{
	{"internal/clock/clock.go", `import (
	"sync/atomic"
	"time"
)`, `import (
	"os"
	"sync/atomic"
	"time"
)

var step = func() time.Duration {
	d, _ := time.ParseDuration(os.Getenv("` + clockVariable + `"))
	return d
}()`},
	{"internal/clock/clock.go", "wall: now.UnixNano()}", "wall: now.Add(step).UnixNano()}"},
	{"internal/clock/clock.go", "{ return time.Now().UnixNano() }", "{ return time.Now().Add(step).UnixNano() }"},
	{"internal/clock/clock.go", "ns + now.UnixNano() -", "ns + now.Add(step).UnixNano() -"},
}

// brokenBuilds are daemons with one mistake each, the scenario that brings it
// to light and the fault that must be reported.
var brokenBuilds = []struct {
	name     string
	patches  []patch
	scenario func(*testing.T, subject) *ledger
	want     fault
}{
	{
		name: "OK is sent before the record is written",
		patches: []patch{
			{"diskqueue/append.go", "	_, err = h.WriteAt(buf, s.size)", `	if FAULT {
		late, at := append([]byte(nil), buf...), s.size
		time.AfterFunc(100*time.Millisecond, func() {
			if h, err := l.shared.files.acquire(s); err == nil {
				h.WriteAt(late, at)
				l.shared.files.release(h)
			}
		})
	} else {
		_, err = h.WriteAt(buf, s.size)
	}`},
		},
		scenario: loadScenario,
		want:     faultLost,
	},
	{
		name: "acknowledgements are kept by name, not by incarnation",
		patches: []patch{
			{"state/state.go", "	t.Channels[e.Channel] = &Channel{", `	defer func() {
		if !FAULT {
			return
		}
		c, key := t.Channels[e.Channel], t.Name+"/"+e.Name
		if old := byName[key]; old != nil {
			c.raise(old.done)
		}
		byName[key] = c
	}()
	t.Channels[e.Channel] = &Channel{`},
			{"state/state.go", "func New() *State {", "var byName = map[string]*Channel{}\n\nfunc New() *State {"},
		},
		scenario: clockScenario,
		want:     faultLost,
	},
	{
		name: "numbers that the journal knows are given out again",
		patches: []patch{
			{"diskqueue/open.go", "	if l.next = seen; o.Next != nil {", "	if l.next = seen; FAULT {\n		l.next = end\n	} else if o.Next != nil {"},
			{"diskqueue/open.go", "	if l.next < seen {", "	if l.next < seen && !FAULT {"},
		},
		scenario: cutScenario,
		want:     faultLost,
	},
	{
		name: "acknowledgements are journalled too late",
		patches: []patch{
			{"journal/journal.go", "	o.Interval = cmp.Or(o.Interval, 25*time.Millisecond)", "	if o.Interval = cmp.Or(o.Interval, 25*time.Millisecond); FAULT {\n		o.Interval = 10 * time.Minute\n	}"},
		},
		scenario: loadScenario,
		want:     faultUndone,
	},
}

func TestBrokenBuildsAreCaught(t *testing.T) {
	for _, b := range brokenBuilds {
		t.Run(b.name, func(t *testing.T) {
			l := b.scenario(t, subject{patchedDaemon(t), []string{faultVariable + "=" + b.name}})
			t.Logf("found: %v", l.faults)
			if l.faults[b.want] == 0 {
				t.Errorf("not caught: want %q\n%s\n%s", b.want, l.summary(), l.verdict())
			}
		})
	}
}

// buildPatched builds the daemon with a steppedClock and all the mistakes,
// which is a good one unless its environment says otherwise.
var buildPatched = sync.OnceValues(func() (string, error) {
	list := []process.Fault{{Name: "none"}}
	for _, p := range steppedClock {
		list[0].Patches = append(list[0].Patches, process.Patch(p))
	}
	for _, b := range brokenBuilds {
		f := process.Fault{Name: b.name}
		for _, p := range b.patches {
			f.Patches = append(f.Patches, process.Patch(p))
		}
		list = append(list, f)
	}
	dir, err := os.MkdirTemp(workDir, "patched")
	if err != nil {
		return "", err
	}
	overlay, err := process.Faulty(dir, faultVariable, list...)
	if err != nil {
		return "", err
	}
	return compile(dir, overlay)
})

func patchedDaemon(t testing.TB) string {
	t.Helper()
	bin, err := buildPatched()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}
