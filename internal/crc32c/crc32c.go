// Package crc32c is the CRC-32C (Castagnoli) that all checksums of ours are: of
// records, headers, indexes and the journal on disk, and of snappy's frames.
package crc32c

import "hash/crc32"

// Table is the polynomial's table, for whoever runs the checksum backwards. It
// must not be changed.
var Table = crc32.MakeTable(crc32.Castagnoli)

// Sum is the checksum of b.
func Sum(b []byte) uint32 { return crc32.Update(0, Table, b) }

// Update adds b to what was summed before, or to a seed.
func Update(sum uint32, b []byte) uint32 { return crc32.Update(sum, Table, b) }
