package crash

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"qmq/test/process"
)

// clockVariable holds by how much a steppedClock daemon's system clock is off.
const clockVariable = "QD_CRASH_CLOCK"

// patch replaces a snippet of a source file, for one build.
type patch struct {
	file     string // below the module's root
	old, new string // old occurs exactly once
}

// variant is a daemon built from patched sources.
type variant []patch

// steppedClock reads a system clock that is off by the duration in the
// environment. It is no fault: the good daemon must bear it.
var steppedClock = variant{
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
// to light and the fault that must be reported. When one of the snippets is not
// found any more, look for the place where the same mistake could be made now.
var brokenBuilds = []struct {
	name     string
	variant  variant
	scenario func(*testing.T, string) *ledger
	want     fault
}{
	{
		name: "OK is sent before the record is written",
		variant: variant{
			{"diskqueue/append.go", "	_, err = h.WriteAt(buf, s.size)", `	late, at := append([]byte(nil), buf...), s.size
	time.AfterFunc(100*time.Millisecond, func() {
		if h, err := l.shared.files.acquire(s); err == nil {
			h.WriteAt(late, at)
			l.shared.files.release(h)
		}
	})`},
		},
		scenario: loadScenario,
		want:     faultLost,
	},
	{
		name: "acknowledgements are kept by name, not by incarnation",
		variant: append(variant{
			{"state/state.go", "	t.Channels[e.Channel] = &Channel{", `	defer func() {
		c, key := t.Channels[e.Channel], t.Name+"/"+e.Name
		if old := byName[key]; old != nil {
			c.raise(old.done)
		}
		byName[key] = c
	}()
	t.Channels[e.Channel] = &Channel{`},
			{"state/state.go", "func New() *State {", "var byName = map[string]*Channel{}\n\nfunc New() *State {"},
		}, steppedClock...),
		scenario: clockScenario,
		want:     faultLost,
	},
	{
		name: "numbers that the journal knows are given out again",
		variant: variant{
			{"diskqueue/open.go", "	if l.next = seen; o.Next != nil {", "	if l.next = end; false {"},
			{"diskqueue/open.go", "	if l.next < seen {", "	if false {"},
		},
		scenario: cutScenario,
		want:     faultLost,
	},
	{
		name: "acknowledgements are journalled too late",
		variant: variant{
			{"journal/journal.go", "	o.Interval = cmp.Or(o.Interval, 25*time.Millisecond)", "	o.Interval = 10 * time.Minute"},
		},
		scenario: loadScenario,
		want:     faultUndone,
	},
}

func TestBrokenBuildsAreCaught(t *testing.T) {
	for _, b := range brokenBuilds {
		t.Run(b.name, func(t *testing.T) {
			bin, err := b.variant.build()
			if err != nil {
				t.Fatal(err)
			}
			l := b.scenario(t, bin)
			t.Logf("found: %v", l.faults)
			if l.faults[b.want] == 0 {
				t.Errorf("not caught: want %q\n%s\n%s", b.want, l.summary(), l.verdict())
			}
		})
	}
}

// build builds the daemon with the patches laid over the sources.
func (v variant) build() (string, error) {
	root, err := process.Root()
	if err != nil {
		return "", err
	}
	texts := map[string]string{}
	for _, p := range v {
		if _, read := texts[p.file]; !read {
			b, err := os.ReadFile(filepath.Join(root, p.file))
			if err != nil {
				return "", err
			}
			texts[p.file] = string(b)
		}
		if n := strings.Count(texts[p.file], p.old); n != 1 {
			return "", fmt.Errorf("%s: found %d times, want once: %s", p.file, n, p.old)
		}
		texts[p.file] = strings.Replace(texts[p.file], p.old, p.new, 1)
	}
	dir, err := os.MkdirTemp(workDir, "variant")
	if err != nil {
		return "", err
	}
	overlay, err := process.Overlay(dir, texts)
	if err != nil {
		return "", err
	}
	return compile(dir, overlay)
}
