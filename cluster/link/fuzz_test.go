package link

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"
	"testing/iotest"
)

// FuzzFrames reads whatever comes: it never panics, gives out what was written as it
// was, and has no more memory than a little above what has come.
func FuzzFrames(f *testing.F) {
	var s sealer
	good := appendFrame(appendFrame(nil, FirstKind, crcBytes, []byte("one")), FirstKind, crcBytes)
	sealAll(&s, good)
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(binary.LittleEndian.AppendUint32(nil, 1<<31))
	f.Fuzz(func(t *testing.T, stream []byte) {
		in := newFrameReader(iotest.OneByteReader(bytes.NewReader(stream)), 16, 1<<24)
		read := 0
		for {
			kind, body, err := in.next()
			if err != nil {
				break
			}
			var s sealer
			again := appendFrame(nil, kind, crcBytes, body)
			sealAll(&s, again)
			if !bytes.Equal(again, stream[read:read+len(again)]) {
				t.Fatalf("a frame at %d is another one", read)
			}
			read += len(again)
		}
		if len(in.buf) > 2*len(stream)+firstGrowth {
			t.Fatalf("%d bytes for %d", len(in.buf), len(stream))
		}
	})
}

// FuzzHandshake has somebody say anything to a member.
func FuzzHandshake(f *testing.F) {
	g := greeting{Hello: Hello{Member: 2, Address: "b:1", Peers: testPeers}, Version: Version, To: "a:1", Auth: authNone, Nonce: newNonce(), Key: make([]byte, 32)}
	text, err := g.append(nil)
	if err != nil {
		f.Fatal(err)
	}
	var s sealer
	hello := appendFrame(nil, kindHello, crcBytes, text)
	hello = appendFrame(hello, kindProof, crcBytes, make([]byte, 8+32))
	sealAll(&s, hello)
	f.Add(append([]byte(preamble), hello...))
	f.Fuzz(func(t *testing.T, stream []byte) {
		c := newConn(oneWay{in: bytes.NewReader(stream)}, nil)
		_, err := c.accept(func(*greeting) (*greeting, *ecdhKey, error) {
			return greet(Hello{Member: 1, Address: "a:1", Peers: testPeers}, Control, 1, "b:1", authSecret)
		}, credentials{secrets: [][]byte{[]byte("a secret of the fuzzer")}, auth: authSecret}, func(*greeting, skewTime) string { return "" })
		if err == nil {
			t.Fatal("somebody without the secret was let in")
		}
	})
}

func TestFramesOfAnySizeComeBack(t *testing.T) {
	var stream []byte
	sizes := []int{0, 1, 15, 16, 17, 4 << 10, 8<<10 - 9, 8<<10 - 8, 100 << 10, 3 << 20, 10}
	for i, n := range sizes {
		stream = appendFrame(stream, byte(FirstKind+i), crcBytes, bytes.Repeat([]byte{byte(i)}, n))
	}
	var s sealer
	sealAll(&s, stream)
	for name, r := range map[string]io.Reader{"whole": bytes.NewReader(stream), "halves": iotest.HalfReader(bytes.NewReader(stream)), "with the end": iotest.DataErrReader(bytes.NewReader(stream))} {
		in := newFrameReader(r, 8<<10, 4<<20)
		for i, n := range sizes {
			kind, body, err := in.next()
			if err != nil || kind != byte(FirstKind+i) || !bytes.Equal(body, bytes.Repeat([]byte{byte(i)}, n)) {
				t.Fatalf("%s: frame %d: kind %d, %d bytes, %v", name, i, kind, len(body), err)
			}
		}
		if _, _, err := in.next(); err != io.EOF {
			t.Errorf("%s: at the end: %v", name, err)
		}
	}
}
