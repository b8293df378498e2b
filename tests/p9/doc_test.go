// Package p9 measures the 9P server of this repository beside diod, another
// server in user space for the same protocol. Both serve the same directory to
// the same client, one after the other, each in a process of its own whose CPU
// time is read from /proc:
//
//	make bench-9p
//
// server-µs/op is what the server used for one request, GB/cpu-s what it moved
// for one second of CPU time. A table of medians and ratios is at the end.
package p9
