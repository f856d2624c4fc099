package topic

import "testing"

func TestLooksThatTakeLongAreRare(t *testing.T) {
	for took, want := range map[int64]int64{0: 1e9, 1e6: 1e9, 20e6: 1e9, 300e6: 15e9} {
		if got := lookPause(took); got != want {
			t.Errorf("%d ns after a look of %d, want %d", got, took, want)
		}
	}
}
