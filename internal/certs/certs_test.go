package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"qmq/internal/filereload"
)

// pair makes a self-signed certificate that has expired long ago.
func pair(t *testing.T, name string, key crypto.Signer, algorithm x509.SignatureAlgorithm) (certificate, private []byte) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber:       big.NewInt(1),
		Subject:            pkix.Name{CommonName: name},
		NotBefore:          time.Unix(1e9, 0),
		NotAfter:           time.Unix(1.1e9, 0),
		SignatureAlgorithm: algorithm,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}

func ecPair(t *testing.T, name string) (certificate, private []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return pair(t, name, key, x509.UnknownSignatureAlgorithm)
}

// files are a server's files, its clock and its log.
type files struct {
	t    *testing.T
	o    Options
	now  time.Time
	log  bytes.Buffer
	made int64 // versions written, so that each has a time of its own
}

func newFiles(t *testing.T) *files {
	dir := t.TempDir()
	f := &files{t: t, now: time.Unix(1e9, 0)}
	f.o = Options{
		CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem"),
		MinVersion: tls.VersionTLS12,
		Now:        func() time.Time { return f.now },
	}
	f.o.Logger = slog.New(slog.NewTextHandler(&f.log, nil))
	return f
}

func (f *files) write(name string, content []byte) {
	f.t.Helper()
	if err := os.WriteFile(name, content, 0o600); err != nil {
		f.t.Fatal(err)
	}
	f.made++
	at := time.Unix(1e9+f.made, 0)
	if err := os.Chtimes(name, at, at); err != nil {
		f.t.Fatal(err)
	}
}

func (f *files) replace(name string) {
	f.t.Helper()
	certificate, key := ecPair(f.t, name)
	f.write(f.o.CertFile, certificate)
	f.write(f.o.KeyFile, key)
}

// shake connects a client and returns the name in the certificate that it saw.
func shake(t *testing.T, config *tls.Config, change ...func(*tls.Config)) (name string, err error) {
	t.Helper()
	here, there := net.Pipe()
	defer there.Close()
	served := make(chan error, 1)
	go func() {
		defer here.Close()
		served <- tls.Server(here, config).Handshake()
	}()
	client := &tls.Config{InsecureSkipVerify: true}
	for _, c := range change {
		c(client)
	}
	conn := tls.Client(there, client)
	if err := conn.Handshake(); err != nil {
		<-served
		return "", err
	}
	there.Close()
	if err := <-served; err != nil {
		return "", err
	}
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

func (f *files) serves(s *Server, want string) {
	f.t.Helper()
	// TLS 1.2 ends its handshake with the server's word.
	if name, err := shake(f.t, s.Config(), func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }); err != nil || name != want {
		f.t.Errorf("serves %q, %v, want %q", name, err, want)
	}
}

func TestExpiredSelfSignedSHA1CertificateIsServed(t *testing.T) {
	f := newFiles(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	certificate, private := pair(t, "old", key, x509.SHA1WithRSA)
	f.write(f.o.CertFile, certificate)
	f.write(f.o.KeyFile, private)
	s, err := Open(f.o)
	if err != nil {
		t.Fatal(err)
	}
	f.serves(s, "old")
}

func TestReplacedPairIsServedToThoseWhoComeLater(t *testing.T) {
	f := newFiles(t)
	f.replace("a")
	s, err := Open(f.o)
	if err != nil {
		t.Fatal(err)
	}
	config := s.Config()
	f.serves(s, "a")
	f.replace("b")
	f.serves(s, "a") // they were looked at a moment ago
	f.now = f.now.Add(filereload.Every)
	f.serves(s, "b")
	if name, err := shake(t, config, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }); err != nil || name != "b" {
		t.Errorf("a configuration made before serves %q, %v", name, err)
	}
	f.replace("c")
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	f.serves(s, "c")
	if n := strings.Count(f.log.String(), "certificate changed"); n != 1 {
		t.Errorf("logged:\n%s", f.log.String())
	}
}

func TestBadPairIsReportedOnceAndTheOldOneServedOn(t *testing.T) {
	f := newFiles(t)
	f.replace("a")
	s, err := Open(f.o)
	if err != nil {
		t.Fatal(err)
	}
	later := func(want string, lines int) {
		t.Helper()
		for range 3 {
			f.now = f.now.Add(filereload.Every)
			f.serves(s, want)
		}
		if n := strings.Count(f.log.String(), "certificate not changed"); n != lines {
			t.Errorf("%d lines, want %d:\n%s", n, lines, f.log.String())
		}
	}
	certificate, key := ecPair(t, "b")
	f.write(f.o.CertFile, certificate) // the key is still the old one's
	later("a", 1)
	if err := s.Reload(); err == nil {
		t.Error("a certificate without its key is fine")
	}
	f.write(f.o.KeyFile, key)
	later("b", 1)
	if err := os.Remove(f.o.KeyFile); err != nil {
		t.Fatal(err)
	}
	later("b", 2)
	f.write(f.o.KeyFile, []byte("garbage"))
	later("b", 3)
	f.replace("c")
	later("c", 3)
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	f := newFiles(t)
	if _, err := Open(f.o); err == nil || !strings.Contains(err.Error(), "cert.pem: no such file") {
		t.Errorf("without files: %v", err)
	}
	f.replace("a")
	f.o.RootFile = f.o.KeyFile
	if _, err := Open(f.o); err == nil || !strings.Contains(err.Error(), "key.pem: there is no certificate in it") {
		t.Errorf("with a key for roots: %v", err)
	}
}

func TestVersionsBelowTheLowestAreRefused(t *testing.T) {
	f := newFiles(t)
	f.replace("a")
	old := func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }
	s, err := Open(f.o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := shake(t, s.Config(), old); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	f.o.MinVersion = tls.VersionTLS10
	if s, err = Open(f.o); err != nil {
		t.Fatal(err)
	}
	if _, err := shake(t, s.Config(), old); err != nil {
		t.Error(err)
	}
}

func TestRemovedRootRefusesItsClients(t *testing.T) {
	f := newFiles(t)
	f.replace("server")
	f.o.ClientAuth = tls.RequireAndVerifyClientCert
	f.o.RootFile = filepath.Join(t.TempDir(), "ca.pem")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, root, root, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	f.write(f.o.RootFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	s, err := Open(f.o)
	if err != nil {
		t.Fatal(err)
	}
	cache := tls.NewLRUClientSessionCache(4)
	known := func(c *tls.Config) {
		c.MaxVersion = tls.VersionTLS12
		c.ClientSessionCache = cache
		c.ServerName = "q"
		c.Certificates = []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
	}
	if _, err := shake(t, s.Config(), known); err != nil {
		t.Fatal(err)
	}
	other, _ := ecPair(t, "other")
	f.write(f.o.RootFile, other)
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, err := shake(t, s.Config(), known); err == nil {
		t.Error("a client whose root was removed gets in")
	}
}
