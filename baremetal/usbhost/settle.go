package usbhost

import (
	"context"
	"sync"
)

// A workCount counts the work that Bus.Settle waits for.
type workCount struct {
	mu   sync.Mutex
	n    int
	idle chan struct{} // closed when n becomes 0; nil unless a call waits for that
}

// begin counts one piece of work, and done its end.
func (w *workCount) begin() {
	w.mu.Lock()
	w.n++
	w.mu.Unlock()
}

func (w *workCount) done() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.n--; w.n == 0 && w.idle != nil {
		close(w.idle)
		w.idle = nil
	}
}

// wait waits until no work is left. The error is ctx's.
func (w *workCount) wait(ctx context.Context) error {
	for {
		w.mu.Lock()
		if w.n == 0 {
			w.mu.Unlock()
			return nil
		}
		if w.idle == nil {
			w.idle = make(chan struct{})
		}
		idle := w.idle
		w.mu.Unlock()
		select {
		case <-idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
