package message

import (
	"testing"

	"pgregory.net/rapid"
)

func TestSaltOfARecordIsTheOneItWasSealedWith(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		salt := rapid.Uint32().Draw(t, "salt")
		rec := AppendRecord(nil, rapid.Int64().Draw(t, "timestamp"), 0, nil, rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "body"))
		Seal(rec, rapid.Uint64().Draw(t, "seq"), salt)
		if got := SaltOf(rec); got != salt {
			t.Fatalf("salt %#x, want %#x", got, salt)
		}
	})
}
