package topic

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"qmq/internal/clock"
	"qmq/internal/vfs/crashfs"
	"qmq/message"
)

// lines is the log of a test.
type lines struct {
	slog.Handler

	mu   sync.Mutex
	list []string
}

func (l *lines) Enabled(context.Context, slog.Level) bool { return true }
func (l *lines) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *lines) WithGroup(string) slog.Handler            { return l }

func (l *lines) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		text += " " + a.String()
		return true
	})
	l.list = append(l.list, text)
	return nil
}

// with is the lines that have a part.
func (l *lines) with(part string) (list []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.list {
		if strings.Contains(line, part) {
			list = append(list, line)
		}
	}
	return list
}

func logged(l *lines) setting {
	return func(b *bench) { b.options.Common.Logger = slog.New(l) }
}

// TestConsumingFreesAFullDiskOnWhichIDsAreKept: room for them was set aside before there was
// none, so that what is finished goes, and its ids count all the same.
func TestConsumingFreesAFullDiskOnWhichIDsAreKept(t *testing.T) {
	for _, way := range []setting{func(*bench) {}, strict} {
		for _, size := range []int{0, 20 << 10} {
			inMortalBench(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
				b.knowsDoubles(t, "")
				b.channel(t, "c")
				must(t, b.pub("first"))
				disk.Limit(disk.Used() + 1<<20)
				body := func(n int) string { return fmt.Sprint(n, strings.Repeat("x", size)) }
				sent := 0
				for b.pub(body(sent)) == nil {
					sent++
				}
				if !diskFull(b.Failure()) || sent < 30 {
					t.Fatalf("%d messages, and %v", sent, b.Failure())
				}
				for n := 3; n > 0; { // whatever is left for files is gone
					if disk.Limit(disk.Used()); b.Probe() != nil || b.pub(fmt.Sprint("more", sent)) != nil {
						n--
					}
				}
				for range 2 {
					drain(t, b.channel(t, "c"))
					wait(5 * time.Second)
					if n := segments(disk); n > 200<<10 {
						t.Fatalf("%d bytes of segments are left where all is finished", n)
					}
					must(t, b.Probe())
					for n := range sent {
						must(t, b.pub(body(n)))
					}
					wantWaiting(t, b.channel(t, "c"))
					b.die(t, disk.Kill)
				}
			}, way, smallSegments)
		}
	}
}

// TestIDsThatCannotBeWrittenDownAreToldNowAndThen, counted, and written when they can be.
func TestIDsThatCannotBeWrittenDownAreToldNowAndThen(t *testing.T) {
	l := &lines{}
	inBench(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
		b.knowsDoubles(t, "")
		b.channel(t, "c")
		must(t, b.pub(fill("m", 20)...))
		disk.Fail(func(op crashfs.Op, name string) error {
			if op == crashfs.OpCreate && strings.Contains(name, ".ids") {
				return syscall.EIO
			}
			return nil
		})
		drain(t, b.channel(t, "c"))
		wait(15 * time.Minute)
		if told := l.with("the ids in them cannot be kept"); len(told) != 2 {
			t.Errorf("told %d times", len(told))
		}
		if s, _ := b.DedupStats(); s.Unwritten < 500 {
			t.Errorf("%+v", s)
		}
		disk.Fail(nil)
		wait(5 * time.Second)
		if n := segments(disk); n > 100<<10 {
			t.Errorf("%d bytes are left", n)
		}
		must(t, b.pub(fill("m", 20)...))
		wantWaiting(t, b.channel(t, "c"))
	}, smallSegments, logged(l))
}

// stepped is a clock whose wall clock was stepped.
type stepped struct {
	*clock.Clock
	by int64
}

func (s *stepped) ToWall(ns int64) int64 { return s.Clock.ToWall(ns) + s.by }

// pubAt publishes a body that is its own id by a wall clock that is ahead.
func (b *bench) pubAt(ahead time.Duration, body string) error {
	batch := b.batchFor(false)
	m := message.Meta{Timestamp: b.clock().Wall() + int64(ahead)}
	b.Stamp().Apply(&m, []byte(body))
	batch.Add(&m, []byte(body))
	return b.Publish(batch)
}

// TestStepsOfTheClockMakeNoWindowLongerOrShorter.
func TestStepsOfTheClockMakeNoWindowLongerOrShorter(t *testing.T) {
	for _, ahead := range []time.Duration{time.Hour, -time.Hour} {
		inMortalBench(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
			b.configure(t, `{"dedup_window": "2m", "dedup_from": "body"}`)
			c := b.channel(t, "c")
			must(t, b.pubAt(0, "a"))
			b.doubles.Load().clock = &stepped{b.clock(), int64(ahead)}
			wait(time.Minute)
			must(t, b.pubAt(ahead, "a"))
			must(t, b.pubAt(ahead, "b"))
			wantWaiting(t, c, "a", "b")
			s, _ := b.DedupStats()
			if age := time.Duration(b.clock().Wall() + int64(ahead) - s.Oldest); age < 59*time.Second || age > 61*time.Second {
				t.Errorf("the oldest came %v ago", age)
			}
			wait(61 * time.Second)
			must(t, b.pubAt(ahead, "a"))
			must(t, b.pubAt(ahead, "b"))
			wantWaiting(t, c, "a", "b", "a")
			wait(2 * time.Minute)
			if s, _ := b.DedupStats(); s.IDs != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestIDsOfTheFutureCountFromNowOn: the clock was set back while the node was down.
func TestIDsOfTheFutureCountFromNowOn(t *testing.T) {
	inMortalBench(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
		b.configure(t, `{"dedup_window": "2m", "dedup_from": "body"}`)
		b.channel(t, "c")
		b.doubles.Load().clock = &stepped{b.clock(), int64(time.Hour)}
		bodies := fill("m", 10) // all but the last go to files
		for _, body := range bodies {
			must(t, b.pubAt(time.Hour, body))
		}
		drain(t, b.channel(t, "c"))
		wait(5 * time.Second)
		b.die(t, disk.Kill)
		wait(time.Minute)
		must(t, b.pub(bodies...))
		wantWaiting(t, b.channel(t, "c"))
		wait(61 * time.Second)
		must(t, b.pub(bodies...))
		wantWaiting(t, b.channel(t, "c"), bodies...)
	}, smallSegments)
}

// TestFewerIDsAreKnownAtOnce where that is set, and none where doubles are not to be known.
func TestFewerIDsAreKnownAtOnce(t *testing.T) {
	inBench(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
		b.knowsDoubles(t, "")
		c := b.channel(t, "c")
		must(t, b.mpub(numbered("m", 20_000)...))
		must(t, b.pub(fill("n", 10)...))
		drain(t, c)
		wait(5 * time.Second)
		before, _ := b.DedupStats()
		b.configure(t, `{"dedup_max_ids": 100}`)
		s, _ := b.DedupStats()
		if s.IDs != 100 || s.Evicted != 19_910 || s.Max != 100 || s.Bytes > before.Bytes/20 {
			t.Errorf("%+v, before %+v", s, before)
		}
		wait(time.Minute)
		must(t, b.pub("last"))
		b.configure(t, `{"dedup_window": "30s"}`)
		if s, _ := b.DedupStats(); s.IDs != 1 {
			t.Errorf("%+v", s)
		}
		b.configure(t, `{"dedup_window": null}`)
		if _, ok := b.DedupStats(); ok {
			t.Error("ids are known yet")
		}
		for _, f := range disk.Files() {
			if strings.Contains(f.Name, ".ids") {
				t.Errorf("%s is left", f.Name)
			}
		}
	}, smallSegments)
}

// TestNoFilesOfIDsAreLeftWhereDoublesAreKnownNoMore: the process was killed, or could not
// remove them, before they were gone.
func TestNoFilesOfIDsAreLeftWhereDoublesAreKnownNoMore(t *testing.T) {
	inMortalBench(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
		b.knowsDoubles(t, "")
		c := b.channel(t, "c")
		must(t, b.pub(fill("m", 20)...))
		drain(t, c)
		wait(5 * time.Second)
		must(t, b.pub("more"))
		disk.Fail(func(op crashfs.Op, name string) error {
			if op == crashfs.OpRemove && strings.Contains(name, ".ids") {
				return syscall.EIO
			}
			return nil
		})
		b.configure(t, `{"dedup_window": null}`)
		files := func() (list []string) {
			for _, f := range disk.Files() {
				if strings.Contains(f.Name, ".ids") {
					list = append(list, f.Name)
				}
			}
			return list
		}
		if len(files()) != 2 { // what is kept, and the room for more
			t.Fatalf("%q", files())
		}
		disk.Fail(nil)
		b.die(t, disk.Kill)
		if left := files(); len(left) > 0 {
			t.Errorf("%q are left", left)
		}
		wantWaiting(t, b.channel(t, "c"), "more")
	}, smallSegments)
}

// TestANodeWithLessMemoryStartsAndSaysWhatItForgot; what else is set of the topic can be
// changed.
func TestANodeWithLessMemoryStartsAndSaysWhatItForgot(t *testing.T) {
	l := &lines{}
	inBench(t, func(t *testing.T, _ *crashfs.FS, b *bench) {
		b.knowsDoubles(t, `, "dedup_max_ids": 100`)
		c := b.channel(t, "c")
		must(t, b.pub(numbered("m", 50)...))
		drain(t, c)
		b.options.Common.MaxIDs = 10
		b.restart(t)
		if len(l.with("dedup_max_ids must be at most 10 here, not 100")) != 1 || len(l.with("dedup_max_ids=100 known=10 gone=40")) != 1 {
			t.Errorf("told %q", l.with("dedup_max_ids"))
		}
		if s, _ := b.DedupStats(); s.IDs != 10 || s.Evicted != 40 || s.Max != 10 {
			t.Errorf("%+v", s)
		}
		must(t, b.pub("m45", "m2"))
		wantWaiting(t, b.channel(t, "c"), "m2")
		b.configure(t, `{"max_messages": 1000}`)
		b.configure(t, `{"dedup_window": "30m"}`)
		if err := b.Configure([]byte(`{"dedup_max_ids": 99}`)); err == nil || !strings.Contains(err.Error(), "at most 10 here, not 99") {
			t.Errorf("refused with %v", err)
		}
		b.options.Common.MaxIDs = 0 // the memory is back, and so is what was set
		b.restart(t)
		if s, _ := b.DedupStats(); s.Max != 100 {
			t.Errorf("%+v", s)
		}
	}, logged(l))
}
