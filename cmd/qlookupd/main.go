// Command qlookupd is the directory in which nodes register their topics and
// consumers find them. It speaks NSQ's lookup protocol and takes nsqlookupd's
// options.
package main

import "qmq/daemon"

func main() { daemon.Exec(daemon.QLookupd) }
