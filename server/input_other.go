//go:build !unix

package server

// rawReads says that descriptors cannot be read without a buffer at hand here;
// a waiting connection then keeps one.
const rawReads = false

func (in *input) tryRead(uintptr) bool { return true }
