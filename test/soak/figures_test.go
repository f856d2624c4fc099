package soak

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"time"

	"qmq/test/process"
)

// figures are what a node takes.
type figures struct {
	goroutines, descriptors int
	heap, resident          int // bytes
}

func (f figures) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %d KiB of heap, %d MiB resident", f.goroutines, f.descriptors, f.heap>>10, f.resident>>20)
}

// What a node at rest may take beyond what it took when it first was at rest: a
// connection to another node more, a cache that is fuller. The largest of them is
// that of the newest entries of replicated topics, 32 MiB, which is full after a few
// minutes here.
const (
	moreGoroutines  = 20
	moreDescriptors = 24
	moreHeap        = 48 << 20
	moreResident    = 192 << 20
)

// growsFrom says what of f is more than it may be after base; empty: nothing.
func (f figures) growsFrom(base figures) string {
	switch {
	case f.goroutines > base.goroutines+moreGoroutines:
		return "goroutines"
	case f.descriptors > base.descriptors+moreDescriptors:
		return "descriptors"
	case f.heap > base.heap+base.heap/2+moreHeap:
		return "heap"
	case f.resident > base.resident+base.resident/2+moreResident:
		return "resident memory"
	}
	return ""
}

// awaitIdle waits until no node takes more than when it first was at awaitIdle in this life.
func (c *cluster) awaitIdle() {
	c.t.Helper()
	for _, n := range c.nodes {
		if n.base == (figures{}) {
			n.base = n.calm()
			n.last = n.base
			if n.first == (figures{}) {
				n.first = n.base
			}
			continue
		}
		deadline := time.Now().Add(process.Timeout)
		for {
			f, err := n.figures()
			if err != nil {
				c.t.Fatal(err)
			}
			if n.last = f; f.growsFrom(n.base) == "" {
				break
			}
			if time.Now().After(deadline) {
				text, _ := n.ask("GET", "/debug/pprof/goroutine?debug=1", "")
				c.t.Fatalf("%s of %s grow: %s, at first %s\n%.5000s", f.growsFrom(n.base), n.HTTP, f, n.base, text)
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
}

// wantNoGrowth compares the end with the beginning, also over restarts.
func (c *cluster) wantNoGrowth() {
	c.t.Helper()
	for _, n := range c.nodes {
		for deadline := time.Now().Add(process.Timeout); n.last.growsFrom(n.first) != ""; time.Sleep(200 * time.Millisecond) {
			if time.Now().After(deadline) {
				c.t.Errorf("%s of %s grow: %s, at first %s", n.last.growsFrom(n.first), n.HTTP, n.last, n.first)
				break
			}
			var err error
			if n.last, err = n.figures(); err != nil {
				c.t.Fatal(err)
			}
		}
	}
}

// calm is what the node takes when what has just ended is gone: its goroutines do
// not get fewer any more.
func (n *node) calm() (least figures) {
	n.c.t.Helper()
	for unchanged := 0; unchanged < 5; time.Sleep(100 * time.Millisecond) {
		f, err := n.figures()
		if err != nil {
			n.c.t.Fatal(err)
		}
		if unchanged++; least == (figures{}) || f.goroutines < least.goroutines {
			least, unchanged = f, 0
		}
	}
	return least
}

var (
	totalLine    = regexp.MustCompile(`goroutine profile: total (\d+)`)
	heapLine     = regexp.MustCompile(`# HeapAlloc = (\d+)`)
	residentLine = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)
)

// figures asks the node, and the system where that tells of other processes.
func (n *node) figures() (f figures, err error) {
	goroutines, err := n.ask("GET", "/debug/pprof/goroutine?debug=1", "")
	if err != nil {
		return f, err
	}
	heap, err := n.ask("GET", "/debug/pprof/heap?gc=1&debug=1", "") // after a collection
	if err != nil {
		return f, err
	}
	var errs [2]error
	f.goroutines, errs[0] = number(totalLine, goroutines)
	f.heap, errs[1] = number(heapLine, heap)
	if err := errors.Join(errs[:]...); err != nil {
		return f, err
	}
	place := fmt.Sprintf("/proc/%d/", n.PID())
	if list, err := os.ReadDir(place + "fd"); err == nil {
		f.descriptors = len(list)
	}
	if status, err := os.ReadFile(place + "status"); err == nil {
		f.resident, _ = number(residentLine, status)
		f.resident <<= 10
	}
	return f, nil
}

func number(line *regexp.Regexp, text []byte) (int, error) {
	found := line.FindSubmatch(text)
	if found == nil {
		return 0, fmt.Errorf("no %s in %.200q", line, text)
	}
	return strconv.Atoi(string(found[1]))
}
