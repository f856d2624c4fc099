package main

import "testing"

func TestAddressesOfIPVersion6AreWrittenWithBracketsOnce(t *testing.T) {
	for _, host := range []string{"::1", "[::1]"} {
		if got := (&devCommand{Host: host}).at(4151); got != "[::1]:4151" {
			t.Errorf("%s: it listens at %s", host, got)
		}
	}
	for listening, want := range map[string]string{
		"[::]:4151": "[::1]:4151", "0.0.0.0:4151": "127.0.0.1:4151", "[::1]:4151": "[::1]:4151", "10.0.0.1:4151": "10.0.0.1:4151",
	} {
		if got := dialable(listening); got != want {
			t.Errorf("%s is reached at %s, want %s", listening, got, want)
		}
	}
}
