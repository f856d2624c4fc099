package crc32c

// A checksum is a remainder modulo the polynomial, so that n bytes more multiply what was
// summed before by x to the power of 8n: what is summed already need not be read again to
// be the checksum of more. The bits of a remainder are in reverse: the highest is that of x
// to the power of 0.

// Join is the checksum of what sum is of, followed by bytes whose own checksum is next, and
// which are as many as power is of.
func Join(sum, next, power uint32) uint32 { return multiply(power, sum) ^ next }

// Power is what Join needs to know of how many bytes there are: x to the power of 8n.
func Power(n int) uint32 {
	power := uint32(one)
	for k := 3; n > 0; n, k = n>>1, k+1 {
		if n&1 != 0 {
			power = multiply(powers[k], power)
		}
	}
	return power
}

const (
	polynomial = 0x82f63b78 // as crc32.Castagnoli
	one        = 1 << 31
)

// powers are x to the power of 1, 2, 4, 8 and so on, modulo the polynomial.
var powers = func() (p [3 + 63]uint32) {
	p[0] = one >> 1
	for k := range len(p) - 1 {
		p[k+1] = multiply(p[k], p[k])
	}
	return p
}()

// multiply is a times b modulo the polynomial. There are no branches in it, for none could be
// foreseen.
func multiply(a, b uint32) (product uint32) {
	for range 32 {
		product ^= b & -(a >> 31)
		a <<= 1
		b = b>>1 ^ polynomial&-(b&1)
	}
	return product
}
