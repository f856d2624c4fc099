// Package past keeps on disk what was measured, a value a minute for seven days, so that
// charts outlive the process. What is lost with the power, the last minutes at most, is a
// gap; damage is a gap too. It starts no goroutine.
package past

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A file has the minutes of one subject: a header, and a slot for each of the last
// seven days' minutes. Minute m, counted since 1970, is in slot m % Minutes. Numbers are
// little-endian.
//
//	┌──────────────────┬──────────┬───────────┐ ┌────────────┬─────────┬────────────────┐
//	│ magic "qpast\x01" │ rows u16 │ 0 8 bytes │ │ minute u32 │ crc u32 │ rows × value f32 │ …
//	└──────────────────┴──────────┴───────────┘ └────────────┴─────────┴────────────────┘
//
// The checksum is CRC-32C of the minute and the values; a slot with another one, or of
// another minute, has nothing. Unknown values are NaN.
const (
	magic      = "qpast\x01"
	headerSize = 16
	slotHeader = 8
	extension  = ".past"

	// Minutes is how many are kept.
	Minutes = 7 * 24 * 60
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrFull means that another subject would take more than the directory may.
var ErrFull = errors.New("the directory of the history has no room for another subject")

// Keeper keeps the past in a directory. It is used by one goroutine at a time, but for Read,
// which may be called concurrently with everything.
type Keeper struct {
	dir   string
	most  int64            // bytes of all files
	sizes map[string]int64 // of the files, by name
	sum   int64
}

// Open opens a directory, which is made if need be. Files together are most bytes long at
// most; those that nobody wrote to for seven days before now are removed.
func Open(dir string, most int64, now time.Time) (*Keeper, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	k := &Keeper{dir: dir, most: most, sizes: make(map[string]int64)}
	return k, k.Sweep(now)
}

// Sweep removes the files that nobody wrote to for seven days.
func (k *Keeper) Sweep(now time.Time) error {
	entries, err := os.ReadDir(k.dir)
	if err != nil {
		return err
	}
	k.sizes, k.sum = make(map[string]int64), 0
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || filepath.Ext(e.Name()) != extension {
			continue
		}
		if now.Sub(info.ModTime()) > Minutes*time.Minute {
			if err := os.Remove(filepath.Join(k.dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			continue
		}
		k.sizes[e.Name()], k.sum = info.Size(), k.sum+info.Size()
	}
	return nil
}

// fileOf is the name of a subject's file. A subject is a few words, such as "channel",
// "orders" and "billing".
func fileOf(subject []string) string {
	var parts []string
	for _, word := range subject {
		parts = append(parts, url.QueryEscape(word))
	}
	return strings.Join(parts, "&") + extension
}

func fileSize(rows int) int64 { return headerSize + Minutes*int64(slotHeader+4*rows) }

// Keeps tells whether there is something of a subject already.
func (k *Keeper) Keeps(subject ...string) bool {
	_, ok := k.sizes[fileOf(subject)]
	return ok
}

// Write keeps the values of a minute. The error is ErrFull for a new subject, or that of
// the file system; what another number of rows left is given up.
func (k *Keeper) Write(minute int64, values []float32, subject ...string) error {
	name := fileOf(subject)
	size := fileSize(len(values))
	if old, ok := k.sizes[name]; !ok || old > size {
		if k.sum-old+size > k.most {
			return ErrFull
		}
	}
	f, err := os.OpenFile(filepath.Join(k.dir, name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := begin(f, len(values)); err != nil {
		return err
	}
	slot := make([]byte, slotHeader, slotHeader+4*len(values))
	binary.LittleEndian.PutUint32(slot, uint32(minute))
	for _, v := range values {
		slot = binary.LittleEndian.AppendUint32(slot, math.Float32bits(v))
	}
	binary.LittleEndian.PutUint32(slot[4:], sumOf(slot))
	if _, err := f.WriteAt(slot, headerSize+minute%Minutes*int64(len(slot))); err != nil {
		return err
	}
	k.sum += size - k.sizes[name]
	k.sizes[name] = size // as long as it becomes
	return nil
}

// begin sees to it that a file has the header for so many rows.
func begin(f *os.File, rows int) error {
	want := binary.LittleEndian.AppendUint16([]byte(magic), uint16(rows))
	want = append(want, make([]byte, headerSize-len(want))...)
	got := make([]byte, headerSize)
	_, err := f.ReadAt(got, 0)
	if err == nil && string(got) == string(want) {
		return nil
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err = f.WriteAt(want, 0)
	return err
}

// sumOf is the checksum of a slot: of the minute and the values.
func sumOf(slot []byte) uint32 {
	return crc32.Update(crc32.Checksum(slot[:4], castagnoli), castagnoli, slot[slotHeader:])
}

// Read returns the values of rows rows in the n minutes up to end, each row apart: NaN where
// there are none. The error is of the file system; a subject of which nothing is kept has no
// values.
func (k *Keeper) Read(end int64, n, rows int, subject ...string) ([][]float32, error) {
	lines := make([][]float32, rows)
	for i := range lines {
		lines[i] = make([]float32, n)
		for j := range lines[i] {
			lines[i][j] = float32(math.NaN())
		}
	}
	b, err := os.ReadFile(filepath.Join(k.dir, fileOf(subject)))
	if errors.Is(err, fs.ErrNotExist) {
		return lines, nil
	}
	if err != nil {
		return nil, err
	}
	if len(b) < headerSize || string(b[:len(magic)]) != magic || int(binary.LittleEndian.Uint16(b[len(magic):])) != rows {
		return lines, nil
	}
	size := slotHeader + 4*rows
	for at := headerSize; at+size <= len(b); at += size {
		slot := b[at : at+size]
		minute := int64(binary.LittleEndian.Uint32(slot))
		place := minute - (end - int64(n) + 1)
		if place < 0 || place >= int64(n) || binary.LittleEndian.Uint32(slot[4:]) != sumOf(slot) {
			continue
		}
		for i := range lines {
			lines[i][place] = math.Float32frombits(binary.LittleEndian.Uint32(slot[slotHeader+4*i:]))
		}
	}
	return lines, nil
}

// String says what is kept.
func (k *Keeper) String() string { return fmt.Sprintf("%d subjects in %s", len(k.sizes), k.dir) }
