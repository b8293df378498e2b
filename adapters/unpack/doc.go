// Package unpack reads compressed streams at any offset: deflate, gzip and
// Zstandard. A [Stream] is the unpacked bytes of one of them. To read somewhere it
// takes up a decoder that stands before that place, or starts one at the nearest
// [Point], and unpacks on from there.
//
// Points are made on the way: a place in the compressed data between two
// symbols, and the 32 KiB of output before it, which is all that a decoder needs
// to go on. No library has decoders that can say where they are, to the bit, so
// the one for deflate is ours; all it gives is compared with compress/flate's in
// tests. Zstandard is unpacked by klauspost/compress, and its points are where its
// frames start.
//
// How many points a stream has is bounded, and with that its memory: when there
// are too many, every other one is dropped and the distance doubles. So a read
// costs at most the unpacking of one distance, besides the first read of a
// place, which has to unpack everything before it once.
package unpack
