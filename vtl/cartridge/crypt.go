package cartridge

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"github.com/targate/targate/vtl/medium"
)

const (
	nonceLen = 24
	// sealOverhead is how much longer a sealed text is: the tag.
	sealOverhead = 16
	maxUKAD      = 32
	maxAKAD      = 12
)

// newAEAD is XAES-256-GCM (C2SP) for one nonce: AES-256-GCM with a key that is derived from
// key and the first half of the nonce, and with the second half as its nonce. 192 random bits
// do not repeat, however much is written with a key and wherever.
func newAEAD(key *[32]byte, nonce []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	var k1 [16]byte // of CMAC (NIST SP 800-38B, 6.1)
	block.Encrypt(k1[:], k1[:])
	carry := byte(0)
	for i := len(k1) - 1; i >= 0; i-- {
		k1[i], carry = k1[i]<<1|carry, k1[i]>>7
	}
	k1[15] ^= carry * 0x87
	var derived [32]byte
	for i := range 2 {
		m := derived[16*i:][:16]
		copy(m, []byte{0, byte(i + 1), 'X', 0})
		copy(m[4:], nonce[:12])
		for j := range m {
			m[j] ^= k1[j]
		}
		block.Encrypt(m, m)
	}
	if block, err = aes.NewCipher(derived[:]); err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// authenticated is what a sealed frame is bound to beside its contents: where it belongs, and
// its meta.
func authenticated(id [16]byte, partition int, c codec, meta []byte) []byte {
	b := append([]byte(nil), id[:]...)
	b = append(b, byte(partition), byte(c))
	return append(b, meta...)
}

func newNonce() []byte {
	n := make([]byte, nonceLen)
	_, _ = rand.Read(n) // it never fails
	return n
}

// seal encrypts text in a new buffer.
func seal(key *medium.Key, nonce, text, bound []byte) ([]byte, error) {
	a, err := newAEAD(&key.AES, nonce)
	if err != nil {
		return nil, err
	}
	return a.Seal(make([]byte, 0, len(text)+sealOverhead), nonce[12:], text, bound), nil
}

// unseal decrypts data, whose checksum is known to be good, in place.
func unseal(key *medium.Key, nonce, data, bound []byte) ([]byte, error) {
	a, err := newAEAD(&key.AES, nonce)
	if err != nil {
		return nil, err
	}
	text, err := a.Open(data[:0], nonce[12:], data, bound)
	if err != nil {
		return nil, medium.ErrKeyWrong
	}
	return text, nil
}

// checkKey says what is wrong with a key.
func checkKey(k *medium.Key) error {
	if k != nil && (len(k.UKAD) > maxUKAD || len(k.AKAD) > maxAKAD) {
		return fmt.Errorf("a key with %d and %d bytes of associated data; %d and %d are the most", len(k.UKAD), len(k.AKAD), maxUKAD, maxAKAD)
	}
	return nil
}

// randomSalt is a salt of a segment.
func randomSalt() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:])
}
