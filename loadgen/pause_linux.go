package loadgen

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// pause sleeps for d, or less when it is disturbed. The runtime's timers sleep
// in whole milliseconds when nothing else goes on, and the kernel adds up to
// 50 µs to the sleep of a thread that does not ask for better.
func pause(d time.Duration) error {
	// Asked for each time, because a goroutine changes threads.
	const slack = 1 // ns
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, slack, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl", err)
	}
	request := unix.NsecToTimespec(int64(d))
	if err := unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &request, nil); err != nil && !errors.Is(err, unix.EINTR) {
		return os.NewSyscallError("clock_nanosleep", err)
	}
	return nil
}
