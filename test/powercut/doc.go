// Package powercut holds the test of what survives the loss of power on a real
// file system: qd runs on an ext4 image under load, the file system is stopped
// at once, with nothing of what is only in memory written, the image is copied,
// and the next qd runs on the copy, where ext4 repairs itself as it would after
// a power cut. What was promised must be there, all that was synced must be in
// use, and nothing may be called damaged.
//
// All of it lives in test files: disk (the image and the cut), node (qd and
// what it is asked), ledger (what is owed), load (publishers, consumers, topics
// that come and go), check (the verdict). The long run needs Linux, root,
// mkfs.ext4 and a loop device:
//
//	go test ./test/powercut -v -args -cuts=20
//
// The run among the ordinary tests kills qd instead of the power, which must
// lose nothing.
package powercut
