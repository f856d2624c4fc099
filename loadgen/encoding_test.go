package loadgen

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// certificate is one that signs itself.
func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestServerSeesTheEncodingThatWasAskedFor(t *testing.T) {
	target, _ := startQD(t)
	for _, e := range []Encoding{{}, {TLS: true}, {Snappy: true}, {Deflate: 1}, {TLS: true, Snappy: true}, {TLS: true, Deflate: 9}} {
		c, _, err := dial(t.Context(), target.TCP, 0, e)
		if err != nil {
			t.Fatalf("%s: %v", e, err)
		}
		if err := subscribe(c, "t", "ch"); err != nil {
			t.Fatalf("%s: %v", e, err)
		}
		response, err := http.Get("http://" + target.HTTP + "/stats?format=json")
		if err != nil {
			t.Fatal(err)
		}
		stats, err := io.ReadAll(response.Body)
		response.Body.Close()
		want := []string{
			fmt.Sprintf(`"deflate":%v,"snappy":%v`, e.Deflate > 0, e.Snappy),
			fmt.Sprintf(`"tls":%v,`, e.TLS),
		}
		for _, part := range want {
			if err != nil || !strings.Contains(string(stats), part) {
				t.Errorf("%s: %s is not in %s, %v", e, part, stats, err)
			}
		}
		c.Close()
		if _, err := http.Post("http://"+target.HTTP+"/topic/delete?topic=t", "", nil); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDeadlineEndsTheWaitAndNotTheStream(t *testing.T) {
	for name, by := range map[string]codec{"snappy": newSnappy, "deflate": newDeflate(6)} {
		t.Run(name, func(t *testing.T) {
			var packed bytes.Buffer
			_, pack, err := by(nil, &packed)
			if err != nil {
				t.Fatal(err)
			}
			data := strings.Repeat("what is sent ", 1000)
			io.WriteString(pack, data)
			pack.Flush()

			here, there := net.Pipe()
			defer there.Close()
			c := newConn(here)
			defer c.Close()
			if err := c.compress(by); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(data))
			c.SetReadDeadline(time.Now())
			if n, err := c.from.Read(got); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("while there is nothing: %d, %v", n, err)
			}
			c.SetReadDeadline(time.Time{})
			go func() {
				there.Write(packed.Next(packed.Len() / 2))
				// The reader has taken the half and waits for the rest, or will.
				c.SetReadDeadline(time.Now())
				there.Write(packed.Bytes())
			}()
			if _, err := io.ReadFull(c.from, got); err != nil || string(got) != data {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
}

func TestEncodingThatTheServerDoesNotOfferIsAnError(t *testing.T) {
	target := startFake(t, &fake{})
	for _, e := range []Encoding{{TLS: true}, {Snappy: true}, {Deflate: 6}} {
		_, _, err := dial(t.Context(), target.TCP, 0, e)
		if err == nil || !strings.Contains(err.Error(), "the server does not offer") {
			t.Errorf("%s: %v", e, err)
		}
	}
}
