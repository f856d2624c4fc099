//go:build race

package broker

// raced says that the race detector watches: of a test of many bytes that each
// take the same way, one goroutine after the other, a few are enough then.
const raced = true
