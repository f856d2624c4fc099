package replica

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"qmq/test/process"
)

// fault is a mistake in the product, which a build of this package's tests can make.
type fault struct {
	name    string
	patches []faultPatch
	// first is a seed that is known to find it.
	first uint64
}

// faultPatch replaces a snippet of a source file, which occurs once.
type faultPatch struct{ File, Old, New string }

// servedFaults are what the simulation of served topics must find. In the new snippets FAULT
// says whether this fault is to be made. When a snippet is not found any more, look for the
// place where the same mistake could be made now.
var servedFaults = []fault{
	{"ids are in no checkpoint and no snapshot", []faultPatch{{"replica/machine/frames.go",
		"	return w.ids(t.span)", "	return FAULT || w.ids(t.span)"}}, 1},
	{"ids count before the messages are stored", []faultPatch{{"replica/machine/apply.go",
		"	if err := m.write(p); err != nil {", "	if FAULT {\n		p.commitIDs()\n	}\n	if err := m.write(p); err != nil {"}}, 1},
	{"a double in the same entry is stored", []faultPatch{{"replica/machine/doubles.go",
		"		p.ids = append(p.ids, plannedID{t, id.Dedup})", "		if p.ids = append(p.ids, plannedID{t, id.Dedup}); FAULT {\n			delete(p.known, key)\n		}"}}, 1},
	{"ids are known for ever", []faultPatch{{"replica/machine/doubles.go",
		"t.ids.Seen(id.ID, id.At, id.Bounds.Window)", "t.ids.Seen(id.ID, map[bool]int64{false: id.At}[FAULT], id.Bounds.Window)"}}, 2},
	{"who has not heard of ids leaves them out in the name of who has", []faultPatch{{"replica/serve/stamp.go",
		"	if !dedup {\n		h.Write(", "	if !dedup && !FAULT {\n		h.Write("}}, 1},
	{"a key is free when its message is delivered", []faultPatch{{"channel/keyorder.go",
		"	case state.queued || state.underWay > 0:", "	case state.queued || state.underWay > 0 && !(FAULT && state.first != 0):"},
		{"channel/keyorder.go", "	for state.underWay == 0 && state.first != 0 {", "	for (FAULT || state.underWay == 0) && state.first != 0 {"}}, 1},
	{"what comes back waits behind its key", []faultPatch{{"channel/keyorder.go",
		"	o.insert(o.keys.At(k), i)\n	o.turnOf(k, first)", "	if s := o.keys.At(k); FAULT {\n		o.link(s, s.last, i)\n	} else {\n		o.insert(s, i)\n	}\n	o.turnOf(k, first)"}}, 1},
	{"what is requeued holds up all keys", []faultPatch{{"channel/keyorder.go",
		"	for o.ready() > 0 {", "	for o.ready() > 0 && (!FAULT || c.deferred.Len() == 0) {"}}, 3},
	{"what is deferred by its publisher holds up its key", []faultPatch{{"channel/core.go",
		"	if m.attempts > 0 {\n		c.underWay", "	if m.attempts > 0 || FAULT {\n		c.underWay"},
		{"channel/core.go", "	if c.due == noneDue {", "	if a := c.conf.ahead; FAULT && a != nil {\n		a.finished(i.Seq)\n	}\n	if c.due == noneDue {"}}, 3},
	{"what is spent lets its successors go on", []faultPatch{{"channel/spent.go",
		"	c.underWay(m.seq)", "	if a := c.conf.ahead; FAULT && a != nil && a.kind != \"\" {\n		a.order.finish(m.seq)\n	} else {\n		c.underWay(m.seq)\n	}"}}, 1},
	{"a dead letter is finished before it is published", []faultPatch{{"channel/deadletter.go",
		"	case err != nil:\n		c.core.notSent(now)", "	case err != nil && !FAULT:\n		c.core.notSent(now)"}}, 18},
	{"a rewind is not agreed on", []faultPatch{{"replica/serve/statelog.go",
		"	done := make(chan outcome, 1)", "	if FAULT && e.Op == state.RewindChannel {\n		return e, nil, nil\n	}\n	done := make(chan outcome, 1)"}}, 1},
	{"what was finished before a rewind stays finished", []faultPatch{{"state/rewind.go",
		"	c.Version, c.Acked = e.Void.From, seqset.New(c.done)", "	if c.Version = e.Void.From; !FAULT {\n		c.Acked = seqset.New(c.done)\n	}"}}, 2},
	{"changes from before a rewind count after it", []faultPatch{{"state/state.go",
		"	if c == nil || ch.Version <= c.Version {", "	if c == nil || ch.Version <= c.Version && !(FAULT && c.Rewound > 0) {"}}, 6},
	{"a channel forgets where it ends", []faultPatch{{"replica/machine/topology.go",
		"	e.Start = min(max(e.Start, t.st.Kept()), t.next)\n	gone := t.gone(e.Start)\n	s.apply(t, e)\n	t.st", "	e.Start = min(max(e.Start, t.st.Kept()), t.next)\n	gone := t.gone(e.Start)\n	if FAULT {\n		e.Void.From = 0\n	}\n	s.apply(t, e)\n	t.st"}}, 1},
}

// faultVariable says which fault is made.
const faultVariable = "QMQ_SIMULATED_FAULT"

// TestSimulationOfServedTopicsFindsFaults wants each found within
// 1,000 seeds.
func TestSimulationOfServedTopicsFindsFaults(t *testing.T) {
	bin, err := buildFaulty(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range servedFaults {
		t.Run(f.name, func(t *testing.T) {
			run := exec.Command(bin, "-test.run=^TestSimulationOfServedTopics$", fmt.Sprint("-seed=", f.first), "-seeds=1000")
			run.Env = append(os.Environ(), faultVariable+"="+f.name)
			out, err := run.CombinedOutput()
			if err == nil {
				t.Fatal("not found in 1,000 seeds")
			}
			for line := range strings.Lines(string(out)) {
				if strings.Contains(line, ": seed ") {
					t.Log("found by", strings.TrimSpace(line[strings.Index(line, "seed "):]))
					return
				}
			}
			t.Fatalf("the run failed otherwise: %v\n%.4000s", err, out)
		})
	}
}

// buildFaulty builds the tests of this package with all faults in.
func buildFaulty(dir string) (string, error) {
	var faults []process.Fault
	for _, f := range servedFaults {
		made := process.Fault{Name: f.name}
		for _, p := range f.patches {
			made.Patches = append(made.Patches, process.Patch(p))
		}
		faults = append(faults, made)
	}
	overlay, err := process.Faulty(dir, faultVariable, faults...)
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "simulation")
	if out, err := exec.Command("go", "test", "-c", "-vet=off", overlay, "-o", bin, "qmq/replica").CombinedOutput(); err != nil {
		return "", fmt.Errorf("the faulty build: %w\n%s", err, out)
	}
	return bin, nil
}
