package crash

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
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
	{"internal/clock/clock.go", `import "time"`, `import (
	"os"
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
			{"diskqueue/log.go", "	if _, err := h.WriteAt(buf, s.size); err != nil {", `	late, at := append([]byte(nil), buf...), s.size
	time.AfterFunc(100*time.Millisecond, func() {
		if h, err := l.shared.files.acquire(s); err == nil {
			h.WriteAt(late, at)
			l.shared.files.release(h)
		}
	})
	if err := error(nil); err != nil {`},
		},
		scenario: loadScenario,
		want:     faultLost,
	},
	{
		name: "acknowledgements are kept by name, not by incarnation",
		variant: append(variant{
			{"journal/state.go", "	t.Channels[e.Channel] = &ChannelState{", `	defer func() {
		c, key := t.Channels[e.Channel], t.Name+"/"+e.Name
		if old := byName[key]; old != nil {
			c.raise(old.done)
		}
		byName[key] = c
	}()
	t.Channels[e.Channel] = &ChannelState{`},
			{"journal/state.go", "func newState() *State {", "var byName = map[string]*ChannelState{}\n\nfunc newState() *State {"},
		}, steppedClock...),
		scenario: clockScenario,
		want:     faultLost,
	},
	{
		name: "numbers that the journal knows are given out again",
		variant: variant{
			{"diskqueue/open.go", "	l.next = max(l.written, l.next, o.Next, uint64(o.Now())>>8)", "	l.next = end"},
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
	for i, b := range brokenBuilds {
		t.Run(b.name, func(t *testing.T) {
			bin, err := b.variant.build(fmt.Sprintf("broken%d", i))
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
func (v variant) build(name string) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	texts := map[string]string{}
	for _, p := range v {
		path := filepath.Join(root, p.file)
		if _, read := texts[path]; !read {
			b, err := os.ReadFile(path)
			if err != nil {
				return "", err
			}
			texts[path] = string(b)
		}
		if n := strings.Count(texts[path], p.old); n != 1 {
			return "", fmt.Errorf("%s: found %d times, want once: %s", p.file, n, p.old)
		}
		texts[path] = strings.Replace(texts[path], p.old, p.new, 1)
	}
	overlay, err := writeOverlay(name, texts)
	if err != nil {
		return "", err
	}
	return goBuild(name, "-overlay="+overlay)
}

// writeOverlay writes the texts and the file that tells go build about them.
func writeOverlay(name string, texts map[string]string) (string, error) {
	replace := map[string]string{}
	for path, text := range texts {
		to := filepath.Join(workDir, fmt.Sprintf("%s-%d.go", name, len(replace)))
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[path] = to
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(workDir, name+".json")
	return path, os.WriteFile(path, b, 0o600)
}

func moduleRoot() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("go list -m: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}
