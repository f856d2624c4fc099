// Command qd stores messages of topics and delivers them to the consumers of
// channels. It speaks NSQ's protocol and takes nsqd's options.
package main

import "qmq/daemon"

func main() { daemon.Exec(daemon.QD) }
