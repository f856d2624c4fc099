package nsqdata

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"qmq/internal/vfs"
)

// A record is a message as nsqd's queues store it, big-endian, without a checksum:
//
//	 0        4                12         14                30
//	┌────────┬────────────────┬──────────┬─────────────────┬──────┐
//	│ len    │ timestamp      │ attempts │ id              │ body │
//	│ i32    │ i64 (ns)       │ u16      │ 16 hex digits   │      │
//	└────────┴────────────────┴──────────┴─────────────────┴──────┘
//
// len counts what is behind it. The digits of the id, all of them lowercase, are
// what tells a record from other bytes.
const (
	// HeadSize is the size of a record without its body.
	HeadSize = 30
	lenSize  = 4
)

// MaxBody bounds a body: a length above it is damage, whatever else the bytes say.
const MaxBody = 1<<30 - 1<<20

// Record is a message that waits in a queue.
type Record struct {
	Offset    int64 // of its body in the file
	Timestamp int64 // of the publish, ns since 1970
	ID        uint64
	Attempts  uint16 // how often it was delivered
	Body      []byte // valid until the next record is read
}

// Broken is a part of a stretch that holds no messages.
type Broken struct {
	Path  string
	At    int64 // where it begins
	Bytes int64 // how many they are
	Text  string
}

// chunk is how much is read of a file at a time.
const chunk = 1 << 20

// Scan reads the records of a stretch one after the other. Where there is none, as
// at the end of a file that was cut short, the rest of the stretch is passed over
// and returned as broken. An error is one of the file system or of take.
func Scan(fsys vfs.FS, s Stretch, take func(*Record) error) (broken *Broken, err error) {
	f, err := fsys.Open(s.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	sc := &scanner{file: f, at: s.From, end: s.To}
	var r Record
	for sc.at < sc.end {
		n, flaw, err := sc.next(&r)
		if err != nil {
			return nil, err
		}
		if flaw != "" {
			return &Broken{Path: s.Path, At: sc.at, Bytes: sc.end - sc.at, Text: flaw}, nil
		}
		if err := take(&r); err != nil {
			return nil, err
		}
		sc.at += n
	}
	return nil, nil
}

// scanner reads a file from the front.
type scanner struct {
	file vfs.File
	at   int64 // of the next record
	end  int64
	buf  []byte
	from int64 // where in the file buf is of
}

// next reads the record at sc.at. A flaw says that there is none.
func (sc *scanner) next(r *Record) (size int64, flaw string, err error) {
	left := sc.end - sc.at
	head, err := sc.bytes(min(HeadSize, left))
	if err != nil {
		return 0, "", err
	}
	if len(head) < HeadSize {
		return 0, "the file ends within a message", nil
	}
	length := int64(int32(binary.BigEndian.Uint32(head)))
	id, ok := parseID(head[HeadSize-16 : HeadSize])
	switch {
	case length < HeadSize-lenSize || length > MaxBody || !ok:
		return 0, fmt.Sprintf("no message begins at offset %d", sc.at), nil
	case lenSize+length > left:
		return 0, "the file ends within a message", nil
	}
	size = lenSize + length
	all, err := sc.bytes(size)
	if err != nil {
		return 0, "", err
	}
	if int64(len(all)) < size {
		return 0, "the file ends within a message", nil
	}
	*r = Record{
		Offset: sc.at + HeadSize, ID: id, Body: all[HeadSize:],
		Timestamp: int64(binary.BigEndian.Uint64(all[lenSize:])), Attempts: binary.BigEndian.Uint16(all[lenSize+8:]),
	}
	return size, "", nil
}

// bytes are the next n bytes of the file, or less where it ends.
func (sc *scanner) bytes(n int64) ([]byte, error) {
	if at := sc.at - sc.from; at+n <= int64(len(sc.buf)) {
		return sc.buf[at : at+n], nil
	}
	want := min(max(n, chunk), sc.end-sc.at)
	if int64(cap(sc.buf)) < want {
		sc.buf = make([]byte, want)
	}
	got, err := sc.file.ReadAt(sc.buf[:want], sc.at)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	sc.buf, sc.from = sc.buf[:got], sc.at
	return sc.buf[:min(n, int64(got))], nil
}

// parseID reads sixteen lowercase hexadecimal digits.
func parseID(digits []byte) (id uint64, ok bool) {
	for _, c := range digits {
		switch {
		case c-'0' <= 9:
			id = id<<4 | uint64(c-'0')
		case c-'a' <= 5:
			id = id<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return id, true
}
