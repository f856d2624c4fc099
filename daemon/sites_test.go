package daemon

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"qmq/config"
)

func TestNamesOfLoopbackAddressesAreTheMachinesOwn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hosts")
	const text = "127.0.0.1 localhost\n127.0.1.1\tmachine.example machine # and.not.this\n\n# 127.0.0.1 nor.that\n" +
		"10.0.0.1 other.example\n0.0.0.0 blocked.example\nnonsense x\n::1 six.example\n127.0.0.2"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	want := []string{"localhost", "machine.example", "machine", "six.example"}
	if got := loopbackNames(file); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := loopbackNames(file + "s"); got != nil {
		t.Errorf("without a file: %q", got)
	}
}

func TestSitesOfADaemon(t *testing.T) {
	got := sitesOf(&config.Common{AllowedHosts: []string{"mq.example"}}, "machine", "0.0.0.0:4151", "/run/qd.sock", "http://ann:s3cret@h.example:1/x").Names
	want := append([]string{"machine", "0.0.0.0:4151", "h.example:1"}, loopbackNames(hostsFile)...)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
