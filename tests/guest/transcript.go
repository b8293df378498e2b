package guest

import (
	"bytes"
	"sync"
)

// transcriptLimit is how much of what a process printed is kept: the end.
const transcriptLimit = 256 << 10

// transcript keeps what a process prints, and tells when something changed.
type transcript struct {
	mu      sync.Mutex
	text    []byte
	changed chan struct{} // closed and replaced at each write
}

func newTranscript() *transcript {
	return &transcript{changed: make(chan struct{})}
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if extra := len(t.text) - transcriptLimit; extra > transcriptLimit {
		t.text = append([]byte(nil), t.text[extra:]...)
	}
	close(t.changed)
	t.changed = make(chan struct{})
	return len(p), nil
}

// String returns what was printed; of much, the end.
func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}

// contains tells whether text was printed. The channel is closed when more is
// printed.
func (t *transcript) contains(text string) (bool, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return bytes.Contains(t.text, []byte(text)), t.changed
}
