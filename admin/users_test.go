package admin

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

func TestFileOfUsersIsChangedLineByLine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users")
	content := func() string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if err := SetUser(file, "maria", "admin", "secret"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("a new file is %v, %v", info.Mode(), err)
	}
	hash, ok := strings.CutPrefix(strings.TrimSpace(content()), "maria:admin:")
	if !ok || bcrypt.CompareHashAndPassword([]byte(hash), []byte("secret")) != nil {
		t.Errorf("it is %s", content())
	}

	if err := os.WriteFile(file, []byte("# people\n\n"+content()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ name, role, line string }{
		{"tom", "", "tom:viewer:"},
		{"tom", "admin", "tom:admin:"},
		{"tom", "", "tom:admin:"},
		{"tommy", "viewer", "tommy:viewer:"},
	} {
		if err := SetUser(file, step.name, step.role, "other"); err != nil || strings.Count(content(), "\n"+step.line) != 1 {
			t.Errorf("%v: %v\n%s", step, err, content())
		}
	}
	if err := RemoveUser(file, "tom"); err != nil {
		t.Error(err)
	}
	names := ""
	for _, line := range strings.Split(content(), "\n") {
		name, _, _ := strings.Cut(line, ":")
		names += name + "|"
	}
	same(t, "lines", names, "# people||maria|tommy||")
	if info, err = os.Stat(file); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the mode is now %v, %v", info.Mode(), err)
	}
}

func TestFileOfUsersStaysAsItIsAfterAMistake(t *testing.T) {
	file := usersFile(t, "maria:admin:"+hashOf(t, "secret"))
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func() error{
		"is no name":                       func() error { return SetUser(file, "a:b", "admin", "x") },
		`"" is no name`:                    func() error { return SetUser(file, "", "admin", "x") },
		"the role must be":                 func() error { return SetUser(file, "eve", "root", "x") },
		"1 to 72 bytes":                    func() error { return SetUser(file, "eve", "", "") },
		"a password must":                  func() error { return SetUser(file, "eve", "", strings.Repeat("x", 73)) },
		"there is no user":                 func() error { return RemoveUser(file, "eve") },
		"would not be a file of users any": func() error { return RemoveUser(file, "maria") },
	} {
		if err := change(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	after, err := os.ReadFile(file)
	if err != nil || string(after) != string(before) {
		t.Errorf("it is now %s, %v", after, err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), ".*")); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
	other := usersFile(t, "no users here")
	if err := SetUser(other, "eve", "", "x"); err == nil || !strings.Contains(err.Error(), "is no file of users") {
		t.Errorf("another kind of file: %v", err)
	}
}
