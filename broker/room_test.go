package broker

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"qmq/diskqueue"
	"qmq/internal/vfs"
	"qmq/message"
)

// volume is a file system of a size, of which it is told how much is free.
type volume struct {
	size int64
	free atomic.Int64
	err  atomic.Pointer[error]
}

func (v *volume) Space() (vfs.Space, error) {
	if err := v.err.Load(); err != nil {
		return vfs.Space{}, *err
	}
	return vfs.Space{Free: v.free.Load(), Used: v.size - v.free.Load()}, nil
}

// publishAs publishes a message as a client does.
func publishAs(b *Broker, name string) error {
	p, err := b.Publisher(name)
	if err != nil {
		return err
	}
	var records diskqueue.Batch
	records.Add(&message.Meta{Timestamp: 1}, []byte("x"))
	_, err = b.Publish(p, &records)
	return err
}

func TestTooLittleRoomRefusesPublishesOnly(t *testing.T) {
	for name, c := range map[string]struct {
		limits SpaceLimits
		option string
	}{
		"bytes":   {SpaceLimits{FreeBytes: 100 << 20}, "--min-free-bytes keeps 100.0 MiB"},
		"percent": {SpaceLimits{FreePercent: 10}, "--min-free-percent keeps 100.0 MiB"},
		"larger":  {SpaceLimits{FreePercent: 10, FreeBytes: 1}, "--min-free-percent keeps 100.0 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := &volume{size: 1000 << 20}
				v.free.Store(101 << 20)
				b := open(t, newDisk(t, 1), func(o *Options) { o.Volume, o.SpaceLimits = v, c.limits })
				ch := getChannel(t, b, "t", "c")
				must(t, publishAs(b, "t"))
				must(t, b.Health())

				v.free.Store(99 << 20)
				<-time.After(2 * time.Second)
				err := publishAs(b, "t")
				var low *SpaceError
				if !errors.As(err, &low) || !strings.Contains(err.Error(), "99.0 MiB free") || !strings.Contains(err.Error(), c.option) {
					t.Fatalf("publish: %v", err)
				}
				if err := publishAs(b, "new"); !errors.As(err, &low) {
					t.Errorf("publish to a new topic: %v", err)
				}
				if _, made := b.Existing("new"); made {
					t.Error("a refused publish made its topic")
				}
				if err := b.Health(); !errors.As(err, &low) {
					t.Errorf("health: %v", err)
				}
				wantDrained(t, ch, "x")
				getChannel(t, b, "other", "c") // topics and channels can be made

				v.free.Store(101 << 20) // not enough yet to be worth it
				<-time.After(2 * time.Second)
				if publishAs(b, "t") == nil {
					t.Error("publishes are accepted where the next one may be refused again")
				}
				v.free.Store(110 << 20)
				<-time.After(2 * time.Second)
				must(t, publishAs(b, "t"))
				must(t, b.Health())
				must(t, b.Close())
			})
		})
	}
}

func TestNodeThatStartsWithTooLittleRoomRefusesItsFirstPublish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &volume{size: 100}
		b := open(t, newDisk(t, 1), func(o *Options) { o.Volume, o.SpaceLimits = v, SpaceLimits{FreeBytes: 1} })
		var low *SpaceError
		if err := publishAs(b, "t"); !errors.As(err, &low) {
			t.Errorf("publish: %v", err)
		}
		must(t, b.Close())
	})
}

func TestRoomThatCannotBeToldChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &volume{size: 100 << 20}
		b := open(t, newDisk(t, 1), func(o *Options) { o.Volume, o.SpaceLimits = v, SpaceLimits{FreeBytes: 1 << 20} })
		v.err.Store(&errIO)
		v.free.Store(50 << 20)
		<-time.After(3 * time.Second)
		if publishAs(b, "t") == nil {
			t.Error("publishes are accepted, though nobody knows of any room")
		}
		if _, known := b.Space(); known {
			t.Error("the room is known")
		}
		v.err.Store(nil)
		<-time.After(3 * time.Second)
		must(t, publishAs(b, "t"))
		v.err.Store(&errIO)
		v.free.Store(0)
		<-time.After(3 * time.Second)
		must(t, publishAs(b, "t"))
		must(t, b.Close())
	})
}

func TestWhatIsFinishedGoesBeforeAPublishIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk(t, 1)
		const capacity = 40 << 20
		v := diskVolume{disk.Used, capacity}
		b := open(t, disk, func(o *Options) { o.Volume, o.SpaceLimits = v, SpaceLimits{FreeBytes: 8 << 20} })
		c := getChannel(t, b, "t", "c")
		k := subscribe(t, c, 1000)
		body := strings.Repeat("x", 256<<10)
		for range 500 { // several times what there is room for
			must(t, publish(getTopic(t, b, "t"), body))
			k.finish(t, k.takeAll()...)
			must(t, publishAs(b, "t"))
			k.finish(t, k.takeAll()...)
			<-time.After(100 * time.Millisecond)
		}
		k.Close()
		must(t, b.Close())
	})
}

// TestWhatIsKeptGoesBeforeAPublishIsRefused: the files of what was kept for replay do not take
// up its room any longer.
func TestWhatIsKeptGoesBeforeAPublishIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk(t, 1)
		v := diskVolume{disk.Used, 40 << 20}
		b := open(t, disk, func(o *Options) {
			o.Volume, o.SpaceLimits, o.SegmentBytes = v, SpaceLimits{FreeBytes: 8 << 20}, 1<<20
		})
		c := getChannel(t, b, "t", "c")
		configure(t, b, "t", "", `{"retention_bytes": "1GiB"}`)
		k := subscribe(t, c, 1000)
		body := strings.Repeat("x", 256<<10)
		for range 500 { // several times what there is room for
			must(t, publishAs(b, "t"))
			must(t, publish(getTopic(t, b, "t"), body))
			k.finish(t, k.takeAll()...)
			<-time.After(100 * time.Millisecond)
		}
		k.Close()
		must(t, b.Close())
	})
}

// diskVolume is a disk of a size that a file system for tests is on.
type diskVolume struct {
	used func() int64
	size int64
}

func (v diskVolume) Space() (vfs.Space, error) {
	used := v.used()
	return vfs.Space{Free: v.size - used, Used: used}, nil
}

func TestPauseBetweenLooksIsShorterThanTheRoomLasts(t *testing.T) {
	l := SpaceLimits{FreeBytes: 1 << 30}
	for _, free := range []int64{0, 1 << 30, 1<<30 + 1, 2 << 30, 3 << 30, 1 << 50} {
		s := vfs.Space{Free: free}
		pause := l.pause(s, false)
		if pause < lookAtLeast || pause > lookAtMost {
			t.Errorf("%s free: %v", size(free), pause)
		}
		if filled := int64(pause.Seconds() * fillRate); pause > lookAtLeast && filled > free-l.FreeBytes {
			t.Errorf("%s free: in %v %s may be written", size(free), pause, size(filled))
		}
	}
}

// TestDoublesNeedNoRoom: what is stored is OK'd again though nothing may be published.
func TestDoublesNeedNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &volume{size: 1000 << 20}
		v.free.Store(200 << 20)
		b := open(t, newDisk(t, 1), func(o *Options) { o.Volume, o.SpaceLimits = v, SpaceLimits{FreeBytes: 100 << 20} })
		c := getChannel(t, b, "t", "c")
		must(t, getTopic(t, b, "t").Configure([]byte(`{"dedup_window": "1h", "dedup_from": "body"}`)))
		once := func(bodies ...string) error {
			p, err := b.Publisher("t")
			must(t, err)
			var records diskqueue.Batch
			stamp := p.Stamp().Begin(&records)
			for _, body := range bodies {
				m := message.Meta{Timestamp: 1}
				stamp.Apply(&m, []byte(body))
				records.Add(&m, []byte(body))
			}
			_, err = b.Publish(p, &records)
			return err
		}
		must(t, once("a", "b"))
		v.free.Store(50 << 20)
		<-time.After(2 * time.Second)
		must(t, once("b", "a", "a"))
		var low *SpaceError
		if err := once("a", "c"); !errors.As(err, &low) {
			t.Errorf("publish of what is new: %v", err)
		}
		b.SetDraining(true)
		if err := once("a"); !errors.Is(err, ErrDraining) {
			t.Errorf("publish to a node that is drained: %v", err)
		}
		wantDrained(t, c, "a", "b")
		must(t, b.Close())
	})
}
