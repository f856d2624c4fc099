package config

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"qmq/settings"
)

// loaders read a file for each daemon; qd's data directory is one of the test.
func loaders(t *testing.T) map[string]func(file string) ([]string, error) {
	return map[string]func(string) ([]string, error){
		"qd": func(file string) ([]string, error) {
			s, err := parse[QD]([]string{"--config=" + file, "--data-path=" + t.TempDir()}, testHost)
			return warningsOf(s), err
		},
		"qlookupd": func(file string) ([]string, error) {
			s, err := parse[QLookupd]([]string{"--config=" + file}, testHost)
			return warningsOf(s), err
		},
		"qadmin": func(file string) ([]string, error) {
			s, err := parse[QAdmin]([]string{"--config=" + file}, testHost)
			return warningsOf(s), err
		},
	}
}

func warningsOf[V any](s *Settings[V]) []string {
	if s == nil {
		return nil
	}
	return s.Warnings()
}

var commentedOut = regexp.MustCompile(`(?m)^#([a-z[])`)

// TestExampleFilesLoadWithoutAWarning, also with everything on that is off in them.
func TestExampleFilesLoadWithoutAWarning(t *testing.T) {
	for name, load := range loaders(t) {
		file := filepath.Join("..", "deploy", "config", name+".toml")
		if warnings, err := load(file); err != nil || len(warnings) > 0 {
			t.Errorf("%s: %v, %q", file, err, warnings)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !commentedOut.Match(text) || !strings.Contains(string(text), "\nstrict_config = true\n") {
			t.Errorf("%s has nothing that is off, or is not strict", file)
		}
		all := filepath.Join(t.TempDir(), "all.toml")
		if err := os.WriteFile(all, commentedOut.ReplaceAll(text, []byte("$1")), 0o600); err != nil {
			t.Fatal(err)
		}
		if warnings, err := load(all); err != nil || len(warnings) > 0 {
			t.Errorf("%s with all that is off in it: %v, %q", file, err, warnings)
		}
	}
}

// TestFilesOfNSQLoad as NSQ ships them for its daemons.
func TestFilesOfNSQLoad(t *testing.T) {
	warned := map[string][]string{"qd": {
		"--tls-cert is empty (tls_cert in line 26 of testdata/nsqd.toml) and so taken for none",
		"--tls-key is empty (tls_key in line 27 of testdata/nsqd.toml) and so taken for none",
	}}
	for name, load := range loaders(t) {
		file := filepath.Join("testdata", "ns"+name+".toml")
		warnings, err := load(file)
		if err != nil || !slices.Equal(warnings, warned[name]) {
			t.Errorf("%s: %v, %q", file, err, warnings)
		}
	}
}

// TestEmptyDoorOnTheCommandLineIsAMistakeStill: a variable may not have been set.
func TestEmptyDoorOnTheCommandLineIsAMistakeStill(t *testing.T) {
	for _, flag := range []string{"--tls-cert=", "--tls-key="} {
		if _, err := parse[QD]([]string{flag}, testHost); err == nil || !strings.Contains(err.Error(), "must not be empty") {
			t.Errorf("%s: %v", flag, err)
		}
	}
}

func TestReferenceSaysWhatEachSettingMeans(t *testing.T) {
	for _, s := range slices.Concat(settings.OfTopics(), settings.OfChannels()) {
		if meanings[s.Name] == "" {
			t.Errorf("%s has no meaning in the reference", s.Name)
		}
	}
}
