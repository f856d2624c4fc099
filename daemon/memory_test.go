package daemon

import "testing"

func TestMemoryIsReadAsKernelsTellIt(t *testing.T) {
	for text, want := range map[string]int64{
		"MemTotal:       16384 kB\nMemFree: 12 kB\n": 16 << 20,
		"1073741824\n": 1 << 30,
		"max\n":        0,
		"":             0,
	} {
		if n, ok := memoryIn([]byte(text)); ok != (want != 0) || ok && n != want {
			t.Errorf("%q: %d, %v", text, n, ok)
		}
	}
}
