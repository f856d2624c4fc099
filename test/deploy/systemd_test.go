package deploy

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var daemons = []string{"qd", "qlookupd", "qadmin"}

// unit is what a unit file says, by section and key; a key may be there again.
func unit(t *testing.T, name string) map[string][]string {
	t.Helper()
	f, err := os.Open(unitFile(name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	said := make(map[string][]string)
	section := ""
	for s := bufio.NewScanner(f); s.Scan(); {
		line := strings.TrimSpace(s.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if strings.HasPrefix(line, "[") {
			section = strings.Trim(line, "[]")
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || section == "" {
			t.Fatalf("%s: %q says nothing", name, line)
		}
		said[section+"."+key] = append(said[section+"."+key], value)
	}
	return said
}

func unitFile(name string) string {
	return filepath.Join("..", "..", "deploy", "systemd", name+".service")
}

func TestUnitsRunTheDaemonsWithTheFilesThatThereAre(t *testing.T) {
	for _, name := range daemons {
		said := unit(t, name)
		if got := said["Service.ExecStart"]; !slices.Equal(got, []string{"/usr/local/bin/" + name + " --config=/etc/q/" + name + ".toml"}) {
			t.Errorf("%s runs %q", name, got)
		}
		if _, err := os.Stat(filepath.Join("..", "..", "deploy", "config", name+".toml")); err != nil {
			t.Error(err)
		}
	}
	if dir := unit(t, "qd")["Service.StateDirectory"]; !slices.Equal(dir, []string{"q"}) {
		t.Errorf("the state is in %q, data_path in /var/lib/q", dir)
	}
}

// TestUnitsAreClosed: what keeps a daemon in its place is in each unit.
func TestUnitsAreClosed(t *testing.T) {
	for _, name := range daemons {
		said := unit(t, name)
		for key, want := range map[string]string{
			"User": "q", "NoNewPrivileges": "yes", "CapabilityBoundingSet": "", "ProtectSystem": "strict", "ProtectHome": "yes", "PrivateDevices": "yes",
			"PrivateTmp": "yes", "PrivateUsers": "yes", "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX", "RestrictNamespaces": "yes",
			"MemoryDenyWriteExecute": "yes", "SystemCallArchitectures": "native", "UMask": "0077",
		} {
			if got := said["Service."+key]; !slices.Equal(got, []string{want}) {
				t.Errorf("%s: %s=%q, want %q", name, key, got, want)
			}
		}
	}
}

// TestExposureIsWhatTheDocumentSays, where the machine has the program that measures
// it. Its scale differs by 0.1 or so between versions.
func TestExposureIsWhatTheDocumentSays(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("this machine has no systemd-analyze: only TestUnitsAreClosed looks at the units")
		return
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "systemd", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	told := regexp.MustCompile(`gives (\d\.\d) \(OK`).FindSubmatch(text)
	if told == nil {
		t.Fatal("the document says nothing")
	}
	want, _ := strconv.ParseFloat(string(told[1]), 64)
	for _, name := range daemons {
		out, err := exec.Command(analyze, "security", "--offline=true", "--no-pager", unitFile(name)).CombinedOutput()
		found := regexp.MustCompile(`Overall exposure level for \S+: (\d+\.\d)`).FindSubmatch(out)
		if found == nil {
			t.Logf("%s: systemd-analyze does not measure files here: %v", name, err)
			continue
		}
		if level, _ := strconv.ParseFloat(string(found[1]), 64); level > want+0.3 {
			t.Errorf("%s: exposure level %.1f, want %.1f", name, level, want)
		}
	}
}
