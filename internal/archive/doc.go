// Package archive keeps messages in files: one after the other in files that are
// rotated, never written over, and named by topic, host and time; and reads them
// back. A Writer says what is on the disk, so that its caller can finish messages
// then and not before. Nothing here is for concurrent use, and nothing has a
// goroutine.
package archive
