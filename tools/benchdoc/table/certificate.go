package table

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// certificateFlags writes a certificate that signs itself into a directory and
// returns the flags by which a daemon uses it.
func certificateFlags(dir string) ([]string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	const lifetime = 24 * time.Hour
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "benchdoc"},
		NotBefore:    now.Add(-lifetime),
		NotAfter:     now.Add(lifetime),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	var flags []string
	for _, part := range []struct {
		flag, kind string
		der        []byte
	}{{"--tls-cert", "CERTIFICATE", certificate}, {"--tls-key", "PRIVATE KEY", private}} {
		file := filepath.Join(dir, part.flag[2:]+".pem")
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: part.kind, Bytes: part.der}), 0o600); err != nil {
			return nil, err
		}
		flags = append(flags, part.flag+"="+file)
	}
	return flags, nil
}
