package loadgen

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// timer wakes a goroutine at a moment to within some 50 µs. The timers of the
// runtime sleep in whole milliseconds when nothing else goes on, which at a few
// hundred messages a second would be most of the latency measured. It belongs
// to one goroutine.
type timer struct {
	fd     int
	file   *os.File // of fd, which the runtime's poller watches
	expiry [8]byte
}

func newTimer() (*timer, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	return &timer{fd: fd, file: os.NewFile(uintptr(fd), "timerfd")}, nil
}

func (t *timer) sleep(d time.Duration) error {
	if d <= 0 {
		return nil
	}
	value := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
	if err := unix.TimerfdSettime(t.fd, 0, &value, nil); err != nil {
		return os.NewSyscallError("timerfd_settime", err)
	}
	_, err := t.file.Read(t.expiry[:])
	return err
}

func (t *timer) close() { t.file.Close() }
