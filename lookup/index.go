package lookup

// index is a map that gives its memory back when most of it was removed, which
// Go's maps do not. The zero value is empty and ready; all may be read
// directly, but only put and remove change it.
type index[K comparable, V any] struct {
	all  map[K]V
	most int // how many there were since the map was made
}

func (x *index[K, V]) put(key K, value V) {
	if x.all == nil {
		x.all = make(map[K]V)
	}
	x.all[key] = value
	x.most = max(x.most, len(x.all))
}

func (x *index[K, V]) remove(key K) {
	delete(x.all, key)
	switch left := len(x.all); {
	case left == 0:
		*x = index[K, V]{}
	case x.most > 16 && left < x.most/4:
		smaller := make(map[K]V, left)
		for k, v := range x.all {
			smaller[k] = v
		}
		*x = index[K, V]{smaller, left}
	}
}
