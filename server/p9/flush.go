package p9

// flush answers Tflush: oldtag[2]. What can be cancelled of the old request is,
// and Rflush comes when that has been answered or is not under way, so that
// the client may use its tag again (flush(5)).
func (r *request) flush() error {
	old := r.in.uint16()
	if r.in.bad {
		return errMalformed
	}
	var few [1]<-chan struct{}
	answered := few[:0]
	r.s.mu.Lock()
	for other := r.s.tags[old]; other != nil; other = other.earlier {
		if other != r {
			answered = append(answered, other.abort())
		}
	}
	r.s.mu.Unlock()
	return r.await(answered)
}

// abortEarlier cancels all requests that came before, and waits for them.
func (r *request) abortEarlier() {
	r.s.mu.Lock()
	var answered []<-chan struct{}
	for other := range r.s.underWay {
		if other != r && (r.serial == 0 || other.serial < r.serial) {
			answered = append(answered, other.abort())
		}
	}
	r.s.mu.Unlock()
	_ = r.await(answered) // it fails if this is flushed itself: then nobody wants the session
}

// await waits for requests to be answered.
func (r *request) await(answered []<-chan struct{}) error {
	if len(answered) == 0 {
		return nil
	}
	r.mayBlock()
	for _, done := range answered {
		select {
		case <-done:
		case <-r.ctx.Done(): // flushed itself, as by a client that flushes in a circle
			return r.ctx.Err()
		}
	}
	return nil
}

// abortWaits cancels the requests that wait for others: for locks, or for
// what they flush.
func (s *session) abortWaits() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	for r := range s.underWay {
		if r.waits() {
			r.abort()
		}
	}
}

// waits reports whether the request is of a type that waits for others.
func (r *request) waits() bool { return r.typ == tlock || r.typ == tflush }
