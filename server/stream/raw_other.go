//go:build !unix

package stream

// rawIO says that descriptors cannot be read without a buffer at hand here; a
// waiting connection then keeps one. Nor is there a write that does not wait.
const rawIO = false

func (in *Input) tryRead(uintptr) bool { return true }

func (w *wire) tryOnce(uintptr) bool { return true }
