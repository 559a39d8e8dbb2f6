package reader

import (
	"bytes"
	"context"
	"sync"
	"time"
)

// A Poller reads the interrupt endpoint of a reader as UEFI firmware does after
// UsbAsyncInterruptTransfer (UEFI 2.11, 17.2.4): one transfer at a time. The controller tries the
// transfer in each interval. At the next tick of its timer the firmware takes the data from the
// controller, keeps it for the driver, and starts the next transfer.
type Poller struct {
	mu   sync.Mutex
	kept [][]byte
	held bool
	idle chan struct{} // closed while the timer runs
}

// Poll returns a Poller that reads until ctx ends, the first time after phase. The timer ticks at
// multiples of tick.
func (r *Reader) Poll(ctx context.Context, phase, interval, tick time.Duration) *Poller {
	p := &Poller{idle: make(chan struct{})}
	close(p.idle)
	go p.run(ctx, r, phase, interval, tick)
	return p
}

// run does the transfers.
func (p *Poller) run(ctx context.Context, r *Reader, phase, interval, tick time.Duration) {
	began := time.Now()
	buf := make([]byte, interruptPacket)
	// next waits until the next moment of a period.
	next := func(first, period time.Duration) bool {
		d := first - time.Since(began)
		if d <= 0 {
			d = period - (-d)%period
		}
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			return true
		case <-ctx.Done():
			return false
		}
	}
	for next(phase, interval) {
		n := r.poll(buf)
		if n == 0 {
			continue
		}
		message := bytes.Clone(buf[:n])
		if !next(0, tick) || !p.keep(ctx, message) {
			return
		}
	}
}

// poll does one transaction with the interrupt endpoint. A NAK is 0 bytes.
func (r *Reader) poll(buf []byte) int {
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	q := r.d.in[r.events]
	if q == nil || !r.d.present {
		return 0
	}
	n, _, _, err := q.take(buf, 0)
	if err != nil {
		return 0
	}
	return n
}

// keep keeps a message at a tick of the timer. It reports false if ctx ends first.
func (p *Poller) keep(ctx context.Context, message []byte) bool {
	for {
		p.mu.Lock()
		held, idle := p.held, p.idle
		if !held {
			p.kept = append(p.kept, message)
		}
		p.mu.Unlock()
		if !held {
			return true
		}
		select {
		case <-idle:
		case <-ctx.Done():
			return false
		}
	}
}

// Hold stops the firmware's timer until Release. OVMF's timer does not run in functions that it has
// called.
func (p *Poller) Hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.held {
		p.held, p.idle = true, make(chan struct{})
	}
}

// Release ends Hold.
func (p *Poller) Release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held {
		p.held = false
		close(p.idle)
	}
}

// Take calls f with each kept message, in the order of arrival, and removes it.
func (p *Poller) Take(f func(b []byte)) {
	p.mu.Lock()
	kept := p.kept
	p.kept = nil
	p.mu.Unlock()
	for _, b := range kept {
		f(b)
	}
}
