// Package daemon builds each daemon from its options and runs it from its
// command line to its exit code. The commands, and the one that runs all
// daemons in one process, share it. It decides nothing that the daemons do.
package daemon
