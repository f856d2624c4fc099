package address

import (
	"strings"
	"testing"
)

func TestHostsThatOthersCanBeTold(t *testing.T) {
	for _, host := range []string{
		"a", "node-1.example", "under_score", "10.0.0.1", "0.0.0.0", "::1", "[::1]", "2001:db8::7", "fe80::1%eth0", "[fe80::1%eth0.5]",
		"::ffff:10.0.0.1", strings.Repeat("a", 255),
	} {
		if !ValidHost(host) {
			t.Errorf("%q is refused", host)
		}
	}
	for _, host := range []string{
		"", " ", "a b", "a\n", "a:4150", "10.0.0.1:4150", "[::1]:4150", "http://a", "a/b", "127.0.0.9/any/path?q=1&x=", "a?b", "a#b", "user@a", "a%41",
		"[a]", "[10.0.0.1]", "[]", "[::1", "::1]", "[[::1]]", "fe80::1%", "fe80::1%eth0/x", "fe80::1%25?x", "ä", "a\x00", strings.Repeat("a", 256),
	} {
		if ValidHost(host) {
			t.Errorf("%q is taken", host)
		}
	}
}

func TestHostAndPortAreJoinedWithOrWithoutBrackets(t *testing.T) {
	for host, want := range map[string]string{"a": "a:1", "::1": "[::1]:1", "[::1]": "[::1]:1", "[fe80::1%eth0]": "[fe80::1%eth0]:1"} {
		if got := Join(host, 1); got != want {
			t.Errorf("%s becomes %s, want %s", host, got, want)
		}
	}
}

func TestPortsThatCanBeConnectedTo(t *testing.T) {
	for text, want := range map[string]bool{"1": true, "65535": true, "": false, "0": false, "65536": false, "-1": false, "http": false, "+1": false, "1 ": false} {
		if ValidPort(text) != want {
			t.Errorf("%q: %t", text, !want)
		}
	}
}

func TestUnspecifiedAddressesAndNames(t *testing.T) {
	for host, want := range map[string]struct{ unspecified, name bool }{
		"0.0.0.0": {true, false}, "::": {true, false}, "[::]": {true, false}, "[::1]": {false, false}, "10.0.0.1": {false, false}, "a": {false, true},
	} {
		if IsUnspecified(host) != want.unspecified || IsName(host) != want.name {
			t.Errorf("%s: %t, %t", host, IsUnspecified(host), IsName(host))
		}
	}
}
