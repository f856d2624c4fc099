package link

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"qmq/internal/crc32c"
)

// Members that share a secret make keys of it for each connection, one for each
// direction, and encrypt every frame with AES-256-GCM: nobody without the secret can
// read, change, repeat or insert one. It costs little more than a checksum. The keys
// come of a Diffie-Hellman exchange too, so that a secret that is lost later opens
// nothing that was said before. Over TLS, and without either, frames have a CRC-32C.
//
//	transcript = SHA-256(greeting of the dialling side ‖ greeting of the other one)
//	proof      = HMAC-SHA-256(secret, role ‖ transcript ‖ X25519)
//	key        = HKDF-SHA-256(X25519 ‖ secret, salt: transcript, info: role)

// sealer ends frames of one direction of a connection with what the reader checks
// them by. It has one user at a time.
type sealer struct {
	aead  cipher.AEAD // nil: a CRC-32C
	count uint64      // frames so far: the nonce
}

var errSeal = errors.New("a frame is damaged or not from the member")

// overhead is how many bytes a frame has behind its body.
func (s *sealer) overhead() int {
	if s.aead == nil {
		return crcBytes
	}
	return s.aead.Overhead()
}

const crcBytes = 4

func (s *sealer) nonce() (n [12]byte) {
	binary.LittleEndian.PutUint64(n[4:], s.count)
	s.count++
	return n
}

// seal completes a frame, which has room at its end.
func (s *sealer) seal(frame []byte) {
	end := len(frame) - s.overhead()
	if s.aead == nil {
		binary.LittleEndian.PutUint32(frame[end:], crc32c.Sum(frame[:end]))
		return
	}
	nonce := s.nonce()
	s.aead.Seal(frame[lengthBytes:lengthBytes], nonce[:], frame[lengthBytes:end], frame[:lengthBytes])
}

// open checks a frame, and decrypts it in place.
func (s *sealer) open(frame []byte) error {
	end := len(frame) - s.overhead()
	if s.aead == nil {
		if binary.LittleEndian.Uint32(frame[end:]) != crc32c.Sum(frame[:end]) {
			return errSeal
		}
		return nil
	}
	nonce := s.nonce()
	if _, err := s.aead.Open(frame[lengthBytes:lengthBytes], nonce[:], frame[lengthBytes:], frame[:lengthBytes]); err != nil {
		return errSeal
	}
	return nil
}

// role is a side of a connection.
type role string

const (
	dialler  role = "q link dialler"
	acceptor role = "q link acceptor"
)

// agreement is what both sides of a connection know and nobody else does, once they
// have exchanged greetings and if they have the same secret.
type agreement struct {
	transcript [sha256.Size]byte
	shared     []byte // of X25519
}

// agree is the agreement of a side with the private key own.
func agree(own *ecdh.PrivateKey, peer []byte, dialled, accepted []byte) (a agreement, err error) {
	h := sha256.New()
	var length [8]byte
	for _, text := range [][]byte{dialled, accepted} {
		binary.LittleEndian.PutUint64(length[:], uint64(len(text)))
		h.Write(length[:])
		h.Write(text)
	}
	h.Sum(a.transcript[:0])
	key, err := ecdh.X25519().NewPublicKey(peer)
	if err != nil {
		return a, errGreeting
	}
	if a.shared, err = own.ECDH(key); err != nil {
		return a, errGreeting
	}
	return a, nil
}

// proof shows that a side knows the secret.
func (a *agreement) proof(secret []byte, of role) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(of))
	h.Write(a.transcript[:])
	h.Write(a.shared)
	return h.Sum(nil)
}

// sealer is that of the frames that a side sends.
func (a *agreement) sealer(secret []byte, of role) (*sealer, error) {
	input := append(append(make([]byte, 0, len(a.shared)+len(secret)), a.shared...), secret...)
	key, err := hkdf.Key(sha256.New, input, a.transcript[:], string(of), 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	return &sealer{aead: aead}, err
}

// matching finds, in constant time for each pair, the secret that one of the proofs
// was made with.
func (a *agreement) matching(secrets [][]byte, proofs []byte, of role) (secret []byte) {
	for _, s := range secrets {
		want := a.proof(s, of)
		for at := 0; at+sha256.Size <= len(proofs); at += sha256.Size {
			if hmac.Equal(want, proofs[at:at+sha256.Size]) {
				secret = s
			}
		}
	}
	return secret
}

func newNonce() []byte {
	nonce := make([]byte, nonceBytes)
	rand.Read(nonce) // never fails
	return nonce
}
