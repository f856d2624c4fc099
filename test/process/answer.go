package process

import (
	"encoding/json"
	"strings"
	"testing"
)

// Keys lists the keys of a JSON object in their order.
func Keys(t testing.TB, object json.RawMessage) (list []string) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(string(object)))
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		var skip json.RawMessage
		if err := d.Decode(&skip); err != nil {
			t.Fatal(err)
		}
		list = append(list, key.(string))
	}
	return list
}
