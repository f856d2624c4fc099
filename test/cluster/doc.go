// Package cluster holds the tests of several daemons together: real processes,
// stock clients, and processes that die under load.
package cluster
