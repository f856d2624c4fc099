// Package bench measures a whole daemon over loopback: it starts a process,
// publishes and consumes with the raw protocol, and reports messages per second
// and the server's CPU time per message. It measures whatever binary it is
// given that takes nsqd's flags, so that two can be compared in one run:
//
//	go test ./test/bench -run '^$' -bench . -benchtime 2000000x -args -server /path/to/nsqd
//
// Without -server it builds and measures cmd/qd.
package bench
