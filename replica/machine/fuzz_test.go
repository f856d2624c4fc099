package machine

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"qmq/internal/crc32c"
)

// FuzzStage takes in any frames, with right checksums: of a checkpoint that was
// damaged with its sums, or of a member that is not sound.
func FuzzStage(f *testing.F) {
	h := newHistory(f, 3, 80)
	f.Add(slices.Concat(framesFor(f, h.m, nil)...))
	f.Add(slices.Concat(sealedFor(f, h.m, nil)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		m := open(t, newDisk(1))
		s, err := m.Stage()
		must(t, err)
		for err == nil && len(data) > frameHeader {
			n := min(int(binary.LittleEndian.Uint32(data)), len(data)-frameHeader)
			if n <= 0 {
				break
			}
			frame := data[:frameHeader+n]
			binary.LittleEndian.PutUint32(frame, uint32(n))
			binary.LittleEndian.PutUint32(frame[4:], crc32c.Sum(summed(frame[frameHeader:])))
			data = data[frameHeader+n:]
			err = s.Put(frame)
		}
		if err == nil {
			err = s.Install()
		}
		if s.Close(); err != nil {
			if !errors.Is(err, errFrame) && !errors.Is(err, errDiverged) {
				t.Error(err)
			}
			return
		}
		encoded(m)
		m.Missing()
		must(t, m.Close())
	})
}
