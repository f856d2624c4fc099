package stream

import (
	stdflate "compress/flate"
	"fmt"
	"io"
	"testing"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/s2"
)

// sample is n bytes of JSON, much like what queues carry.
func sample(n int) []byte {
	var b []byte
	for i := 0; len(b) < n; i++ {
		b = fmt.Appendf(b, `{"id":%d,"user":"u%d","action":"view","path":"/articles/%d","ms":%d}`, i, i*7919%1000, i*104729%5000, i*31%97)
	}
	return b[:n]
}

// counter counts what is written to it.
type counter int

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

// BenchmarkCompress compares the codecs that one could use.
func BenchmarkCompress(b *testing.B) {
	for _, size := range []int{200, 64 << 10} {
		data := sample(size)
		var out counter
		run := func(name string, write func() error) {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				b.SetBytes(int64(size))
				out = 0
				for b.Loop() {
					if err := write(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(out)/float64(b.N)/float64(size), "ratio")
			})
		}
		room := make([]byte, s2.MaxEncodedLen(size))
		run("snappy=golang", func() error { _, err := out.Write(snappy.Encode(room, data)); return err })
		run("snappy=klauspost", func() error { _, err := out.Write(s2.EncodeSnappy(room, data)); return err })
		ours := &snappyWriter{to: &out}
		run("snappy=ours", func() error { _, err := ours.Write(data); return err })
		for _, level := range []int{1, 6, 9} {
			standard, _ := stdflate.NewWriter(&out, level)
			run(fmt.Sprintf("deflate%d=std,kept", level), func() error {
				standard.Write(data)
				return standard.Flush()
			})
			run(fmt.Sprintf("deflate%d=std,reset", level), func() error {
				standard.Reset(&out)
				standard.Write(data)
				return standard.Flush()
			})
			kept, _ := flate.NewWriter(&out, level)
			run(fmt.Sprintf("deflate%d=klauspost,kept", level), func() error {
				kept.Write(data)
				return kept.Flush()
			})
			pooled := &deflateWriter{to: &out, level: level}
			run(fmt.Sprintf("deflate%d=ours", level), func() error { _, err := pooled.Write(data); return err })
		}
	}
}

// BenchmarkUncompress compares what unpacks.
func BenchmarkUncompress(b *testing.B) {
	data := sample(64 << 10)
	packed := snappy.Encode(nil, data)
	to := make([]byte, len(data))
	run := func(name string, read func() error) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if err := read(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("snappy=golang", func() error { _, err := snappy.Decode(to, packed); return err })
	run("snappy=klauspost", func() error { _, err := s2.Decode(to, packed); return err })

	write := func(w io.Writer) { (&deflateWriter{to: w, level: 6}).Write(data) }
	endless := func() io.Reader {
		r, w := io.Pipe()
		b.Cleanup(func() { r.Close() })
		go func() {
			for {
				write(w)
				if _, err := w.Write(nil); err != nil {
					return
				}
			}
		}()
		return r
	}
	standard, ours := stdflate.NewReader(endless()), flate.NewReader(endless())
	run("deflate=std", func() error { _, err := io.ReadFull(standard, to); return err })
	run("deflate=klauspost", func() error { _, err := io.ReadFull(ours, to); return err })
}
