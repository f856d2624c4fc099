package balance

import "math"

// mix spreads the bits of a hash: FNV leaves those of similar keys similar.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// exponential turns even bits into an exponentially distributed number above 0:
// divided by weights, the smallest one is each one's as often as its weight says.
func exponential(bits uint64) float64 {
	return -math.Log((float64(bits>>11) + 0.5) / (1 << 53))
}
