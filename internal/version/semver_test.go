package version

import "testing"

func TestReleasesAreNewerThanWhatComesBeforeThem(t *testing.T) {
	for _, pair := range [][2]string{{"1.2.1-alpha", "1.2.1"}, {"1.2.1", "1.3.0-rc1"}, {"1.3.0-rc1", "1.3.0+build5"}, {"unknown", "0.0.1"}, {"9.9", "0.0.1"}} {
		older, newer := Parse(pair[0]), Parse(pair[1])
		if !older.Less(newer) || newer.Less(older) {
			t.Errorf("%s and %s", pair[0], pair[1])
		}
	}
}
