package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// Roles are what a line of the file of users may say.
var Roles = []string{string(roleViewer), string(roleStats), string(roleAdmin)}

// maxPassword is the longest password that bcrypt looks at in full, in bytes.
const maxPassword = 72

// hashCost makes a comparison take about 60 ms.
const hashCost = 10

// SetUser writes a line for a user into a file of users, in the place of the one
// that is there, and makes the file if there is none. An empty role keeps the
// one that the user has; a new user is a viewer then. Comments stay, and so do
// the mode and the owner of the file; a new one is readable by its owner alone. A
// reader finds the old file or the new one.
func SetUser(file, name, role, password string) error {
	if err := CheckUser(name, role); err != nil {
		return err
	}
	if password == "" || len(password) > maxPassword {
		return fmt.Errorf("a password must have 1 to %d bytes", maxPassword)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), hashCost)
	if err != nil {
		return err
	}
	return changeUsers(file, func(lines []string) ([]string, error) {
		at := lineOf(lines, name)
		if role == "" {
			role = string(roleViewer)
			if at >= 0 {
				role = strings.SplitN(lines[at], ":", 3)[1]
			}
		}
		line := name + ":" + role + ":" + string(hash)
		if at >= 0 {
			lines[at] = line
			return lines, nil
		}
		return append(lines, line), nil
	})
}

// CheckUser tells what is wrong with a name or a role of a user. The role may be
// empty.
func CheckUser(name, role string) error {
	if name == "" || strings.ContainsAny(name, ":\r\n") || strings.TrimSpace(name) != name || name[0] == '#' {
		return fmt.Errorf("%q is no name: it must not be empty, begin with # or hold a colon", name)
	}
	if role != "" && !slices.Contains(Roles, role) {
		return fmt.Errorf("the role must be %s, not %q", strings.Join(Roles, " or "), role)
	}
	return nil
}

// RemoveUser takes a user's line out of a file of users.
func RemoveUser(file, name string) error {
	return changeUsers(file, func(lines []string) ([]string, error) {
		at := lineOf(lines, name)
		if at < 0 {
			return nil, fmt.Errorf("there is no user %q in %s", name, file)
		}
		return slices.Delete(lines, at, at+1), nil
	})
}

// lineOf finds the line of a user; -1 if there is none.
func lineOf(lines []string, name string) int {
	return slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(strings.TrimSpace(line), name+":") })
}

// changeUsers replaces a file by what change makes of its lines, if that is a
// file of users.
func changeUsers(file string, change func(lines []string) ([]string, error)) error {
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var lines []string
	if len(text) > 0 {
		if _, err := parseUsers(text); err != nil {
			return fmt.Errorf("%s is no file of users: %w", file, err)
		}
		lines = strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	}
	if lines, err = change(lines); err != nil {
		return err
	}
	changed := []byte(strings.Join(lines, "\n") + "\n")
	if _, err := parseUsers(changed); err != nil {
		return fmt.Errorf("%s would not be a file of users any more: %w", file, err)
	}
	return replaceFile(file, changed)
}

// replaceFile writes a file beside another one and renames it over that.
func replaceFile(file string, text []byte) (err error) {
	if real, err := filepath.EvalSymlinks(file); err == nil {
		file = real
	}
	made, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(made.Name())
		}
	}()
	_, err = made.Write(text)
	if info, statErr := os.Stat(file); err == nil && statErr == nil {
		err = adopt(made, info)
	}
	if err == nil {
		err = made.Sync()
	}
	if err = errors.Join(err, made.Close()); err != nil {
		return err
	}
	return os.Rename(made.Name(), file)
}

// adopt gives a file the mode and the owner of another one.
func adopt(made *os.File, from os.FileInfo) error {
	if err := keepOwner(made, from); err != nil {
		return fmt.Errorf("the owner of the file cannot be kept: %w", err)
	}
	return made.Chmod(from.Mode().Perm())
}
