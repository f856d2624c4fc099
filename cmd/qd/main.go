// Command qd stores messages of topics and delivers them to the consumers of
// channels. It speaks NSQ's protocol and takes nsqd's options.
package main

import (
	"os"

	"qmq/daemon"
)

func main() {
	if exit, is := daemon.Subcommand(os.Args[1:], os.Stdin, os.Stdout, os.Stderr); is {
		os.Exit(exit)
	}
	daemon.Exec(daemon.QD)
}
