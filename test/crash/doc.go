// Package crash holds the test of the promise that everything else rests on:
// kill the daemon at any moment and nothing that it acknowledged is lost. It
// builds qd, drives it with publishers and consumers over raw sockets, kills
// it, starts it again on the same data directory, and in the end compares what
// was promised with what came.
//
// All of it lives in test files: daemon (the process), wire (the protocol),
// body (what a message carries), ledger (what is owed and what came), publisher
// and consumer (the load), load (one run with kills), check (the verdict), and
// the scenarios. Nothing of this package is linked into a daemon.
//
// The short run is part of the ordinary tests. The long one:
//
//	go test ./test/crash -timeout 20m -args -kills=20 -messages=5000000
package crash
