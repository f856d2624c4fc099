package broker

import (
	"fmt"
	"log/slog"
	"time"

	"qmq/internal/vfs"
)

// Volume is a file system. A vfs.Volume is one.
type Volume interface {
	Space() (vfs.Space, error)
}

// SpaceLimits say how much room is to stay free on the file system of the data
// directory: the larger of both. While there is less, publishes are refused.
type SpaceLimits struct {
	FreeBytes   int64 // 0: no limit
	FreePercent int   // of what can be used, 0 to 99; 0: no limit
}

// SpaceError is the refusal of a publish that would leave too little room on the
// disk. What waits is delivered all the same, which makes room.
type SpaceError struct {
	Free   int64  // bytes
	Wanted int64  // bytes that are to stay free
	Option string // that says so
}

func (e *SpaceError) Error() string {
	return fmt.Sprintf("the disk has %s free, and --%s keeps %s: nothing is published until there is room", size(e.Free), e.Option, size(e.Wanted))
}

// size is a number of bytes for people.
func size(bytes int64) string {
	const unit = 1 << 10
	value, units := float64(bytes), []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for ; value >= unit && i < len(units)-1; i++ {
		value /= unit
	}
	if i == 0 {
		return fmt.Sprintf("%d B", bytes)
	}
	return fmt.Sprintf("%.1f %s", value, units[i])
}

// wanted is how much is to stay free of a file system with that room, and which option
// says so.
func (l SpaceLimits) wanted(s vfs.Space) (bytes int64, option string) {
	const percent = 100
	bytes, option = l.FreeBytes, "min-free-bytes"
	if p := int64(float64(s.Free+s.Used) / percent * float64(l.FreePercent)); p > bytes {
		return p, "min-free-percent"
	}
	return bytes, option
}

// check says why nothing may be published with that room; nil when it may. What was
// refused is taken again when there is a little more than what is to stay free, so
// that it is not refused again at once.
func (l SpaceLimits) check(s vfs.Space, refused bool) *SpaceError {
	const most = 64 << 20 // bytes
	wanted, option := l.wanted(s)
	least := wanted
	if refused {
		least += min(wanted/16, most)
	}
	if s.Free >= least {
		return nil
	}
	return &SpaceError{Free: s.Free, Wanted: wanted, Option: option}
}

const (
	// lookWhenLow is how often it is looked for room while there is too little,
	// lookAtLeast and lookAtMost how long the pauses are otherwise.
	lookWhenLow = 500 * time.Millisecond
	lookAtLeast = 10 * time.Millisecond
	lookAtMost  = time.Second
	// fillRate is what a disk is taken to be written with at most, bytes a second.
	fillRate = 4 << 30
)

// pause is how long the room that is left lasts at least, with the limits of before.
func (l SpaceLimits) pause(s vfs.Space, low bool) time.Duration {
	if low {
		return lookWhenLow
	}
	wanted, _ := l.wanted(s)
	left := time.Duration(float64(s.Free-wanted) / fillRate * float64(time.Second))
	return min(max(left, lookAtLeast), lookAtMost)
}

// Space is the room on the file system of the data directory; known is false where it
// cannot be told.
func (b *Broker) Space() (s vfs.Space, known bool) {
	if b.o.Volume == nil {
		return s, false
	}
	s, err := b.o.Volume.Space()
	return s, err == nil
}

// SpaceWanted is how much of a file system with that room is to stay free; 0: nothing.
func (b *Broker) SpaceWanted(s vfs.Space) int64 {
	bytes, _ := b.o.SpaceLimits.wanted(s)
	return bytes
}

// SpaceShort says that less room is free than is to stay free.
func (b *Broker) SpaceShort() bool { return b.door.lowSpace() != nil }

// startWatchingRoom looks whether there is room, and again and again as long as the
// broker is open. Without limits, or where the room cannot be told, it does nothing.
func (b *Broker) startWatchingRoom() {
	if b.o.Volume == nil || b.o.SpaceLimits == (SpaceLimits{}) {
		return
	}
	if s, err := b.o.Volume.Space(); err == nil { // before the first publish; what can be given up is later
		b.noteRoom(s, b.o.SpaceLimits.check(s, false))
	}
	b.background.Go(func() {
		timer := time.NewTimer(lookAtLeast)
		defer timer.Stop()
		for {
			select {
			case <-b.ctx.Done():
				return
			case <-timer.C:
			}
			timer.Reset(b.lookForRoom())
		}
	})
}

// lookForRoom refuses publishes while there is too little room, and says when to look
// again. What nobody needs is given up first.
func (b *Broker) lookForRoom() (again time.Duration) {
	s, err := b.o.Volume.Space()
	if err != nil { // nothing is known: it stays as it is
		if b.spaceUnknown.CompareAndSwap(false, true) {
			b.o.Logger.Warn("it cannot be told how much room there is on the disk", slog.Any("error", err))
		}
		return lookAtMost
	}
	b.spaceUnknown.Store(false)
	refused := b.door.lowSpace() != nil
	low := b.o.SpaceLimits.check(s, refused)
	if low != nil && b.freeSpace() {
		if now, err := b.o.Volume.Space(); err == nil {
			s, low = now, b.o.SpaceLimits.check(now, refused)
		}
	}
	b.noteRoom(s, low)
	return b.o.SpaceLimits.pause(s, low != nil)
}

// noteRoom refuses publishes from now on because of low, or takes them if that is nil.
func (b *Broker) noteRoom(s vfs.Space, low *SpaceError) {
	before := b.door.lowSpace()
	b.door.setLowSpace(low)
	if (low == nil) != (before == nil) {
		b.TakingChanged()
	}
	switch {
	case low != nil && before == nil:
		b.o.Logger.Warn("publishes are refused", slog.Any("error", low))
	case low == nil && before != nil:
		b.o.Logger.Info("publishes are accepted again: there is room on the disk", slog.String("free", size(s.Free)))
	}
}
