package names

import (
	"strings"
	"testing"
)

func TestValid(t *testing.T) {
	tests := []struct {
		name string
		want bool
	}{
		{"", false},
		{"a", true},
		{"..", true},
		{"AZaz09._-", true},
		{"a#ephemeral", true},
		{"#ephemeral", false},
		{"a#", false},
		{"a#ephemeralx", false},
		{"a#ephemeral#ephemeral", false},
		{"a#Ephemeral", false},
		{"a b", false},
		{"a\n", false},
		{"a/b", false},
		{"caf\xc3\xa9", false},
		{strings.Repeat("x", 64), true},
		{strings.Repeat("x", 65), false},
		{strings.Repeat("x", 54) + "#ephemeral", true},
		{strings.Repeat("x", 55) + "#ephemeral", false},
	}
	for _, tt := range tests {
		if got := Valid(tt.name); got != tt.want {
			t.Errorf("Valid(%q) = %v", tt.name, got)
		}
		if got := Valid([]byte(tt.name)); got != tt.want {
			t.Errorf("Valid([]byte(%q)) = %v", tt.name, got)
		}
	}
}

func TestIsEphemeral(t *testing.T) {
	for name, want := range map[string]bool{
		"a": false, "": false, "#ephemeral": false, "ephemeral": false,
		"a#ephemeral": true, ".#ephemeral": true, "a-ephemeral": false,
	} {
		if IsEphemeral(name) != want || IsEphemeral([]byte(name)) != want {
			t.Errorf("IsEphemeral(%q) is not %v", name, want)
		}
	}
}
