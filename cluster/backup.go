package cluster

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"qmq/internal/crc32c"
)

// A backup is what a member has applied of all shards, each at one moment of its own:
//
//	"QSBK" | version u32 = 1 | then blocks:
//	| shard u32 | length u32 | crc u32 | content, length bytes |
//
// where crc is the CRC-32C of the 8 bytes before it and the content. The first block is
// group 0's: the JSON of its state. Then come those of each shard in its order: frames of
// a snapshot (see replica/machine/frames.go), one in each block, all that there is of every
// topic. A last block of the shard endOfBackup has the time, u64 in seconds since 1970.
const (
	backupMagic   = "QSBK"
	backupVersion = 1
	backupHead    = 8
	blockHead     = 12
	endOfBackup   = 1<<32 - 1
	maxBlock      = 1 << 30
)

var errBackup = errors.New("this is no backup, or it is damaged")

// Backup writes what this member has of all shards to w, while the set is at work.
func (s *Set) Backup(w io.Writer) (err error) {
	defer tellAgain(&err)
	r := s.run.Load()
	if r == nil {
		return errNoSet
	}
	out := bufio.NewWriterSize(w, pieceBytes)
	head := binary.LittleEndian.AppendUint32([]byte(backupMagic), backupVersion)
	if _, err := out.Write(head); err != nil {
		return err
	}
	line, err := r.group0.snapshot()
	if err != nil {
		return err
	}
	if err := writeBlock(out, 0, line); err != nil {
		return err
	}
	for n := uint32(1); n <= Shards; n++ {
		if err := r.backupShard(out, n); err != nil {
			return fmt.Errorf("shard %d: %w", n, err)
		}
	}
	if err := writeBlock(out, endOfBackup, binary.LittleEndian.AppendUint64(nil, uint64(time.Now().Unix()))); err != nil {
		return err
	}
	return out.Flush()
}

// backupShard writes a shard, as fast as members are given snapshots at most.
func (r *run) backupShard(w io.Writer, n uint32) error {
	snapshot := r.machines[n].Snapshot(nil)
	defer snapshot.Close()
	var frame []byte
	for {
		var err error
		frame, err = snapshot.Next(frame[:0])
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = r.offers.pace.wait(r.ctx, len(frame))
		}
		if err == nil {
			err = writeBlock(w, n, frame)
		}
		if err != nil {
			return err
		}
	}
}

func writeBlock(w io.Writer, shard uint32, content []byte) error {
	head := make([]byte, 0, blockHead)
	head = binary.LittleEndian.AppendUint32(head, shard)
	head = binary.LittleEndian.AppendUint32(head, uint32(len(content)))
	head = binary.LittleEndian.AppendUint32(head, crc32c.Update(crc32c.Sum(head), content))
	if _, err := w.Write(head); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}

// backupReader reads a backup.
type backupReader struct {
	r io.Reader
	b []byte
}

func newBackupReader(r io.Reader) (*backupReader, error) {
	b := &backupReader{r: bufio.NewReaderSize(r, pieceBytes)}
	head := make([]byte, backupHead)
	if _, err := io.ReadFull(b.r, head); err != nil || string(head[:4]) != backupMagic {
		return nil, errBackup
	}
	if v := binary.LittleEndian.Uint32(head[4:]); v != backupVersion {
		return nil, fmt.Errorf("the backup is of version %d: use a newer q", v)
	}
	return b, nil
}

// next is the next block, good until the one after.
func (b *backupReader) next() (shard uint32, content []byte, err error) {
	head := make([]byte, blockHead)
	if _, err := io.ReadFull(b.r, head); err != nil {
		return 0, nil, fmt.Errorf("%w: it ends too soon", errBackup)
	}
	n := binary.LittleEndian.Uint32(head[4:])
	if n > maxBlock {
		return 0, nil, errBackup
	}
	// As long as what comes, not as long as what is said.
	b.b = b.b[:0]
	for uint32(len(b.b)) < n {
		piece := min(int(n)-len(b.b), pieceBytes)
		at := len(b.b)
		b.b = append(b.b, make([]byte, piece)...)
		if _, err := io.ReadFull(b.r, b.b[at:]); err != nil {
			return 0, nil, fmt.Errorf("%w: it ends too soon", errBackup)
		}
	}
	if crc32c.Update(crc32c.Sum(head[:8]), b.b) != binary.LittleEndian.Uint32(head[8:]) {
		return 0, nil, fmt.Errorf("%w: a checksum is wrong", errBackup)
	}
	return binary.LittleEndian.Uint32(head), b.b, nil
}
