//go:build race

package replica

// raced says that the race detector watches. A simulation is of one goroutine,
// so that a few seeds of it are enough then.
const raced = true
