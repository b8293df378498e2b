package virtio

import (
	"testing"
)

// A request and its answer through the ring, with kicks and interrupts by
// eventfd where they are asked for.
func BenchmarkRoundTrip(b *testing.B) {
	for _, depth := range []int{1, 8} {
		b.Run(map[int]string{1: "one at a time", 8: "eight in flight"}[depth], func(b *testing.B) {
			s := serve(b, echo)
			fe := s.connect(b)
			fe.start()
			for i := range depth {
				fe.prepare(2*i, "a request of the length that most requests have")
				fe.offer(2 * i)
			}
			for b.Loop() {
				head, _ := fe.wait()
				fe.offer(head)
			}
			b.ReportMetric(float64(fe.kicks)/float64(b.N), "kicks/op")
			b.ReportMetric(float64(fe.calls)/float64(b.N), "interrupts/op")
		})
	}
}
