package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"qmq/internal/archive"
)

// progressNote is what FILE.restoring holds.
type progressNote struct {
	Lines int64  `json:"lines"`         // that were OK'd
	Sum   uint64 `json:"sum,omitempty"` // CRC-64 of those: whether the file is the one they were in
	Topic string `json:"topic"`         // of --topic
	Nodes string `json:"nodes"`         // that were published to
}

// archiveLines are the lines of an archive, counted and summed up as they are
// taken.
type archiveLines struct {
	*archive.Reader
	records bool // lines are objects
	lines   int64
	sum     uint64 // CRC-64 of them, each with a newline
	end     error  // after the last line, which is known to be that
}

// next is the next line. A whole object at the end of the file is one, though it
// is not ended. The caller calls taken.
func (a *archiveLines) next() ([]byte, error) {
	if a.end != nil {
		return nil, a.end
	}
	line, err := a.Next()
	torn := errors.Is(err, archive.ErrTorn)
	if !a.records || !torn && !errors.Is(err, archive.ErrCut) {
		return line, err
	}
	if _, notWhole := parseRecord(a.Rest()); notWhole != nil {
		return nil, err
	}
	if a.end = err; torn {
		a.end = io.EOF
	}
	return a.Rest(), nil
}

var (
	sumTable = crc64.MakeTable(crc64.ECMA)
	newline  = []byte{'\n'}
)

// taken counts a line.
func (a *archiveLines) taken(line []byte) {
	a.lines++
	a.sum = crc64.Update(crc64.Update(a.sum, sumTable, line), sumTable, newline)
}

// openLines opens an archive at its beginning.
func (w *restoring) openLines(file string) (*archiveLines, error) {
	in, err := archive.Open(file)
	if err != nil {
		return nil, err
	}
	return &archiveLines{Reader: in, records: w.r.records(file)}, nil
}

// resume opens a file behind the lines that were published, if it has them still,
// and otherwise at its beginning. An error is where it breaks before.
func (w *restoring) resume(ctx context.Context, file string, note progressNote) (*archiveLines, progressNote, error) {
	in, err := w.openLines(file)
	if err != nil {
		return nil, note, err
	}
	for in.lines < note.Lines && ctx.Err() == nil {
		line, err := in.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			in.Close()
			return in, note, err
		}
		in.taken(line)
	}
	if ctx.Err() != nil || in.lines == note.Lines && in.sum == note.Sum {
		return in, note, nil
	}
	in.Close()
	fmt.Fprintf(w.errors, "q: %s is not the file that was restored in part: it is published from its beginning\n", file)
	in, err = w.openLines(file)
	return in, w.fresh(), err
}

// fresh is the note of a file of which nothing is published.
func (w *restoring) fresh() progressNote {
	return progressNote{Topic: w.r.Topic, Nodes: strings.Join(w.nodes, ",")}
}

// notePath is where it is noted how far a file is restored; for no two files the
// same.
func (w *restoring) notePath(file string) (string, error) {
	if w.r.StateDir == "" {
		return file + ".restoring", nil
	}
	path, err := filepath.Abs(file)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(path))
	return filepath.Join(w.r.StateDir, fmt.Sprintf("%s.%x.restoring", filepath.Base(path), sum[:8])), nil
}

// claim keeps other restores from the notes of the files that are restored, until
// release.
func (w *restoring) claim() (release func(), err error) {
	claimed := make(map[string]func() error)
	release = func() {
		for path, let := range claimed {
			if err := let(); err != nil {
				fmt.Fprintf(w.errors, "q: %s stays behind: %v\n", path, err)
			}
		}
	}
	for _, file := range w.r.Files {
		note, err := w.notePath(file)
		if err != nil {
			return release, err
		}
		path := note + ".lock"
		if claimed[path] != nil {
			continue // it is named twice
		}
		let, err := archive.Claim(path)
		switch {
		case errors.Is(err, archive.ErrInUse):
			return release, fmt.Errorf("%s is being restored by another q: wait for it, or note elsewhere how far this one is (--state-dir)", file)
		case err != nil:
			return release, unnoted(err)
		}
		claimed[path] = let
	}
	return release, nil
}

// unnoted says that there is no place for notes.
func unnoted(err error) error {
	return fmt.Errorf("how far the restore is cannot be noted (--state-dir says where): %w", err)
}

// begin is how far a file was restored before. It makes sure that this can be
// noted.
func (w *restoring) begin(file string) (progressNote, error) {
	fresh := w.fresh()
	path, err := w.notePath(file)
	if err != nil {
		return fresh, err
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || w.r.Again {
		if err := w.save(file, fresh); err != nil {
			return fresh, unnoted(err)
		}
		return fresh, nil
	}
	if err != nil {
		return fresh, err
	}
	var note progressNote
	if err := json.Unmarshal(text, &note); err != nil {
		return fresh, fmt.Errorf("%s: %w; --again begins at the beginning", path, err)
	}
	if note.Topic != fresh.Topic || note.Nodes != fresh.Nodes {
		return fresh, fmt.Errorf("%s was restored in part to other nodes or another topic (%s %s); --again begins at the beginning", file, note.Nodes, note.Topic)
	}
	return note, nil
}

// save notes how far a file is restored.
func (w *restoring) save(file string, note progressNote) error {
	text, err := json.Marshal(note)
	if err != nil {
		return err
	}
	path, err := w.notePath(file)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", append(text, '\n'), 0o666); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// forget removes the notes of all files, which are restored.
func (w *restoring) forget() error {
	for _, file := range w.r.Files {
		path, err := w.notePath(file)
		if err == nil {
			err = os.Remove(path)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
