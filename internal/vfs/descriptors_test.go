package vfs

import (
	"os"
	"testing"
)

// TestOpenDescriptorsAreCounted opens more files than others of this process do meanwhile.
func TestOpenDescriptorsAreCounted(t *testing.T) {
	before := OpenDescriptors()
	const more = 100
	for range more {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}
	if now := OpenDescriptors(); before != 0 && (now < before+more/2 || now > before+2*more) {
		t.Errorf("%d descriptors after %d more than %d", now, more, before)
	}
}
