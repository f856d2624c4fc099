package vfs

import (
	"runtime"
	"testing"
	"weak"
)

func TestMemFreesRemovedFileWhenLastHandleCloses(t *testing.T) {
	m := NewMem()
	h, err := m.Create("f")
	if err != nil {
		t.Fatal(err)
	}
	bytes := weak.Make(h.(*memHandle).file.Load())
	if err := m.Remove("f"); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	if bytes.Value() == nil {
		t.Error("freed while a handle is open")
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	if bytes.Value() != nil {
		t.Error("kept alive by a closed handle")
	}
	runtime.KeepAlive(h)
}

func TestMemReadsAndWritesAllocateNothing(t *testing.T) {
	h, err := NewMem().Create("f")
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 100_000)
	h.WriteAt(p, 0)
	n := testing.AllocsPerRun(100, func() {
		h.WriteAt(p, 0)
		h.ReadAt(p, 0)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
