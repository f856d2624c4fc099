package broker

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"qmq/internal/vfs/crashfs"
)

// The tests of this file damage a log while its broker is down and look at what
// the next one says is lost.

// activeSegment is the newest segment of the only topic.
func activeSegment(t *testing.T, disk *crashfs.FS) (path string) {
	t.Helper()
	for _, f := range disk.Files() {
		if strings.HasSuffix(f.Name, ".seg") && strings.Contains(f.Name, "/topics/") {
			path = f.Name
		}
	}
	if path == "" {
		t.Fatal("there is no segment")
	}
	return path
}

func TestWhatADamagedLogLostIsCountedAfterItsProcessOrMachineEnded(t *testing.T) {
	const before, after = 40, 7 // messages before the last sync, and after it
	for _, c := range []struct {
		name   string
		damage func(b []byte) []byte
		gone   int // of the last messages
	}{
		{"cut to nothing", func([]byte) []byte { return nil }, before + after},
		{"cut to 10 bytes", func(b []byte) []byte { return b[:10] }, before + after},
		{"cut to 64 bytes", func(b []byte) []byte { return b[:64] }, before + after},
		{"one byte short", func(b []byte) []byte { return b[:len(b)-1] }, 1},
		{"seq of the last message", func(b []byte) []byte { b[len(b)-3-20] ^= 1; return b }, 1},
		{"last byte", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, 1},
		{"header", func(b []byte) []byte { b[17] ^= 1; return b }, 0},
		{"both headers", func(b []byte) []byte { b[17] ^= 1; b[4096+17] ^= 1; return b }, 0},
	} {
		for _, reboot := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, reboot=%v", c.name, reboot), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					disk := newDisk(t, 1)
					boot := "one"
					adjust := func(o *Options) { o.BootID = boot }
					b := open(t, disk, adjust)
					tp, ch := getTopic(t, b, "t"), getChannel(t, b, "t", "c")
					must(t, publish(tp, numbered("m00", before)...))
					time.Sleep(3 * time.Second)
					synctest.Wait()
					must(t, publish(tp, numbered("n00", after)...))
					if reboot {
						time.Sleep(6 * time.Second) // they are synced too, and the journal knows
					} else {
						time.Sleep(200 * time.Millisecond) // the journal was told
					}
					synctest.Wait()
					ch.Close()
					if reboot {
						boot = "two"
						disk.Crash(crashfs.DropAll)
					} else {
						disk.Kill()
					}
					_ = b.Close()
					path := activeSegment(t, disk)
					data, err := disk.ReadFile(path)
					must(t, err)
					must(t, disk.WriteFile(path, c.damage(data)))
					for range 2 {
						b = open(t, disk, adjust)
						if n := b.Damage().Messages; n != uint64(c.gone) {
							t.Errorf("%d messages are lost, want %d: %+v", n, c.gone, b.Damage().Findings)
						}
						want := append(numbered("m00", before), numbered("n00", after)...)
						c2 := getChannel(t, b, "t", "c")
						if depth := c2.Stats().Depth; depth != int64(len(want)-c.gone) {
							t.Errorf("depth %d, want %d", depth, len(want)-c.gone)
						}
						if err := b.Health(); err != nil {
							t.Errorf("health: %v", err)
						}
						must(t, b.Close())
					}
				})
			})
		}
	}
}

// A sector that cannot be read holds up the messages in it alone, and costs them
// in the end.
func TestBadSectorHoldsUpTheMessagesInItForABoundedTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk(t, 1)
		b := open(t, disk, func(o *Options) { o.MemQueueSize = 0 })
		defer b.Close()
		tp, c := getTopic(t, b, "t"), getChannel(t, b, "t", "c")
		body := strings.Repeat("x", 1000)
		for i := range 300 {
			must(t, publish(tp, fmt.Sprint(i, body)))
		}
		must(t, disk.BadSectors(activeSegment(t, disk), 100<<10, 100<<10+512))
		k := subscribe(t, c, 1000)
		got := make(map[string]bool)
		start := time.Now()
		for time.Since(start) < time.Minute && c.Stats().Depth+int64(c.Stats().InFlight) > 0 || len(got) == 0 {
			for _, d := range k.takeAll() {
				got[d.body] = true
				must(t, k.answer(0, 0, d)[0])
			}
			if len(got) < 300-6 {
				t.Fatalf("%d messages came, the others wait for those that cannot be read", len(got))
			}
			if time.Since(start) < 20*time.Second && b.Health() == nil {
				t.Error("nothing is said of those that cannot be read")
			}
			time.Sleep(time.Second)
		}
		lost := b.Damage().Messages
		// Some that are lost with the sector's neighbourhood may have come first.
		if missing := 300 - len(got); missing == 0 || missing > int(lost) || lost > 6 {
			t.Errorf("%d messages came and %d are lost after %v", len(got), lost, time.Since(start))
		}
		if s := c.Stats(); s.Depth != 0 || s.InFlight != 0 {
			t.Errorf("depth %d, in flight %d", s.Depth, s.InFlight)
		}
		if err := b.Health(); err != nil {
			t.Errorf("health: %v", err)
		}
	})
}

// At the start the others are served, and of the segment what can be read.
func TestBadSectorsDoNotKeepTheNodeFromStarting(t *testing.T) {
	disk := newDisk(t, 1)
	b := open(t, disk)
	for _, name := range []string{"bad", "good"} {
		getChannel(t, b, name, "c")
		must(t, publish(getTopic(t, b, name), numbered(name, 20)...))
	}
	kill(disk, b)
	disk.Fail(func(op crashfs.Op, name string) error {
		if op == crashfs.OpRead && strings.Contains(name, "/bad-") {
			return syscall.EIO
		}
		return nil
	})
	b = open(t, disk)
	wantDrained(t, getChannel(t, b, "good", "c"), numbered("good", 20)...)
	if _, ok := b.Existing("bad"); !ok {
		t.Error("the topic is not there")
	}
	kill(disk, b)
	disk.Fail(nil)
	b = open(t, disk)
	defer b.Close()
	wantDrained(t, getChannel(t, b, "bad", "c"), numbered("bad", 20)...)
}
