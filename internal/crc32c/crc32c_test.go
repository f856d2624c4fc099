package crc32c

import "testing"

// The check value of RFC 3720, and that sums can be continued.
func TestSumIsCastagnolis(t *testing.T) {
	b := []byte("123456789")
	if got := Sum(b); got != 0xe3069283 {
		t.Errorf("sum %#x", got)
	}
	if got := Update(Sum(b[:4]), b[4:]); got != Sum(b) {
		t.Errorf("continued, the sum is %#x", got)
	}
}
