package usbhost

import (
	"context"
	"time"
)

// How one finds out whether a device is still there (policy).
const (
	// inspectPause lets the port notice that it is not: a hub looks at the end of a microframe (USB 2.0, 7.1.7.3).
	inspectPause = time.Millisecond
	// inspectLimit is the end of the wait for the answer, which a hub that was unplugged itself cannot give.
	inspectLimit = 500 * time.Millisecond
)

// inspect has the port looked at, for somebody whose transfer to a device failed. When it returns the device was removed if it is not
// there any more.
func (p *port) inspect(ctx context.Context, d *device) {
	if sleep(ctx, inspectPause) != nil {
		return
	}
	looked := make(chan struct{})
	p.mu.Lock()
	p.asked = append(p.asked, looked)
	p.mu.Unlock()
	p.poke()
	limit := time.NewTimer(inspectLimit)
	defer limit.Stop()
	select {
	case <-looked:
	case <-d.ctx.Done():
	case <-limit.C:
	case <-ctx.Done():
	}
}

// answer tells those who asked that the port was looked at.
func answer(asked []chan struct{}) {
	for _, a := range asked {
		close(a)
	}
}
