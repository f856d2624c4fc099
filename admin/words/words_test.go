package words

import (
	"testing"
	"time"
)

func TestDurationsAndNumbersInWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", 59 * time.Second: "59 s", 232 * time.Second: "3 min 52 s", 9*time.Minute + 5*time.Second: "9 min", 65 * time.Minute: "1 h 5 min",
		327 * time.Minute: "5 h 27 min", 26 * time.Hour: "1 d 2 h", 41 * 24 * time.Hour: "41 d",
	} {
		if got := Duration(d); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567"} {
		if got := Number(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
	if got := List([]string{"a", "b", "c"}); got != "a, b and c" {
		t.Errorf("the list is %q", got)
	}
}
