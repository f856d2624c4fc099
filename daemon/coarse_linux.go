package daemon

import (
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// coarseSlack is how late a thread of a coarse process may be woken. The runtime's
	// timers are of whole milliseconds where a process has nothing else to do.
	coarseSlack = time.Millisecond
	// watchSlack is how late the one may be that looks after the others.
	watchSlack = 4 * time.Millisecond
	// usualSlack is what threads have of which nobody has said anything: where it is
	// another, somebody has chosen it.
	usualSlack = 50 * time.Microsecond
	// anew is set for a process that has begun anew, so that it does not do so again.
	anew = "QD_BEGUN_ANEW"
)

func begunAnew() bool {
	is := os.Getenv(anew) != ""
	os.Unsetenv(anew)
	if is {
		runtime.UnlockOSThread() // a goroutine of refine takes the first thread too
		refine()
	}
	return is
}

// refine has all threads that run code of ours be woken earlier than they began, and so
// those that they will begin: all but the one that looks after them, and the few that this one
// begins. Each has to say so itself, so there are as many goroutines as there are threads,
// each with one of its own.
func refine() {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return
	}
	var all, done sync.WaitGroup
	all.Add(len(threads))
	for range threads {
		done.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			_ = setSlack(coarseSlack)
			all.Done()
			all.Wait()
		})
	}
	done.Wait()
}

// beginAnew does not return, unless it cannot be done: then all is as it was.
func beginAnew(args []string) {
	path, err := os.Executable()
	if err != nil {
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if was, err := slackOfThread(); err != nil || was != usualSlack {
		return
	}
	if setSlack(watchSlack) != nil {
		return
	}
	signal.Ignore(syscall.SIGHUP) // until the other image holds it
	_ = syscall.Exec(path, args, append(os.Environ(), anew+"=1"))
	_ = setSlack(usualSlack)
	holdHangups()
}

func slackOfThread() (time.Duration, error) {
	ns, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	return time.Duration(ns), err
}

func setSlack(d time.Duration) error {
	return unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(d), 0, 0, 0)
}
