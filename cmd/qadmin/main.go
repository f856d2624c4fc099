// Command qadmin shows a whole cluster of qd and nsqd in a browser, and lets
// one change it. It takes nsqadmin's options and serves its API.
package main

import "qmq/daemon"

func main() { daemon.Exec(daemon.QAdmin) }
