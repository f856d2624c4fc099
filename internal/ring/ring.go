// Package ring is a queue in a ring of memory that grows and shrinks. It takes
// no lock: a Ring belongs to whoever guards it.
package ring

const minLen = 16 // elements

// Ring is a queue with two ends. The zero value is empty and ready to use. T is
// meant to hold no pointers: what was taken out stays in memory for a while.
type Ring[T any] struct {
	elements []T // their number is a power of two, or 0
	head     int
	n        int
}

// Len is how many elements there are.
func (r *Ring[T]) Len() int { return r.n }

// At is the i-th element from the front. The pointer is good until the Ring is
// changed.
func (r *Ring[T]) At(i int) *T { return &r.elements[(r.head+i)&(len(r.elements)-1)] }

// PushBack adds an element behind all others.
func (r *Ring[T]) PushBack(e T) {
	r.grow()
	r.n++
	*r.At(r.n - 1) = e
}

// PushFront adds an element before all others.
func (r *Ring[T]) PushFront(e T) {
	r.grow()
	r.head = (r.head - 1) & (len(r.elements) - 1)
	r.n++
	r.elements[r.head] = e
}

// PopFront takes the first element out. There must be one.
func (r *Ring[T]) PopFront() T {
	e := r.elements[r.head]
	r.head = (r.head + 1) & (len(r.elements) - 1)
	r.n--
	if len(r.elements) > 64*minLen && r.n < len(r.elements)/8 {
		r.resize(len(r.elements) / 4)
	}
	return e
}

// DeleteFunc takes out the elements for which del is true; the others keep
// their order. It keeps the memory.
func (r *Ring[T]) DeleteFunc(del func(T) bool) {
	kept := 0
	for i := range r.n {
		if e := *r.At(i); !del(e) {
			*r.At(kept) = e
			kept++
		}
	}
	r.n = kept
}

func (r *Ring[T]) grow() {
	if r.n == len(r.elements) {
		r.resize(max(minLen, 2*len(r.elements)))
	}
}

func (r *Ring[T]) resize(size int) {
	elements := make([]T, size)
	for i := range r.n {
		elements[i] = *r.At(i)
	}
	r.elements, r.head = elements, 0
}
