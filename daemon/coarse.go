package daemon

import "os"

// coarsen has the process begin anew, as another image of the same one, with threads that
// may sleep for a little longer than they ask for, where its options want that and that can
// be had. Go's scheduler looks after its threads every 20 µs from a thread of its own
// while any of the others is at work: in a process that works in many short bursts, and on
// a machine where to wake costs some 15 µs, that takes a fifth of its CPU time. How late a
// thread may be woken a thread has from the one that began it, and that one begins before
// any code of ours: it stays as the process began, the others are woken earlier again.
func (p Program[V]) coarsen(options V, args []string) {
	if again := begunAnew(); again || p.Coarse == nil {
		return
	}
	common := p.Common(options)
	if !common.ShowVersion && readableAgain(common.ConfigFile) && p.Coarse(options) {
		beginAnew(args)
	}
}

// readableAgain tells of a file, if there is one, whether who reads it twice gets the same:
// not from a pipe.
func readableAgain(path string) bool {
	if path == "" {
		return true
	}
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
