// Package soak keeps three nodes at work under churn: topics, channels and
// consumers come and go, nodes are stopped, drained and killed in turn. Nothing
// that was OK'd may be lost, and what a node at rest takes of memory, goroutines
// and descriptors may not grow. By itself it is short; make soak runs it for long.
package soak
