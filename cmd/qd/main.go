// Command qd stores messages of topics and delivers them to the consumers of
// channels. It speaks NSQ's protocol and takes nsqd's options.
package main

import (
	"os"
	"runtime"

	"qmq/daemon"
)

// init keeps main on the first thread of the process, from which daemon.Exec may begin the
// process anew: Linux knows by thread that a process is to end with its parent, and an image
// begun from any other thread is not told.
func init() { runtime.LockOSThread() }

func main() {
	if exit, is := daemon.Subcommand(os.Args[1:], os.Stdin, os.Stdout, os.Stderr); is {
		os.Exit(exit)
	}
	daemon.Exec(daemon.QD)
}
