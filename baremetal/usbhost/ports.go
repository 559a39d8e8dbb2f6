package usbhost

import (
	"errors"
	"time"

	"tamaccid/ccid/usb"
)

// attachSignal is how long a device may take to signal its connection after its power is good (USB
// 2.0, 7.1.7.3, TSIGATT: 100 ms).
const attachSignal = 100 * time.Millisecond

// ports are all ports of a controller or hub.
type ports struct {
	up  *upstream
	all []*port // port n is all[n-1]
}

func newPorts(u *upstream, count int) *ports {
	p := &ports{up: u, all: make([]*port, count)}
	for i := range p.all {
		p.all[i] = newPort(u, i+1)
	}
	return p
}

// powerUp switches on the power of the ports and checks each port once. Bus.Settle waits for that,
// and until devices have signalled their connection.
func (p *ports) powerUp() error {
	switched := false
	for _, port := range p.all {
		st, err := p.up.control.status(p.up.ctx, port.number)
		if !st.Powered && (err == nil || errors.Is(err, usb.ErrStall)) {
			err = p.up.control.setPower(p.up.ctx, port.number, true)
			switched = true
		}
		if err != nil && !errors.Is(err, usb.ErrStall) {
			return err
		}
	}
	if switched {
		if err := sleep(p.up.ctx, p.up.timing.powerGood); err != nil {
			return err
		}
	}
	work := p.up.tree.work
	work.begin()
	if !p.up.start(func() { _ = sleep(p.up.ctx, attachSignal); work.done() }) {
		work.done()
	}
	return p.scan(func(st PortStatus) bool {
		return st.Change != 0 || st.Connected || st.OverCurrent
	})
}

// scan wakes the ports whose status is of interest.
func (p *ports) scan(interesting func(PortStatus) bool) error {
	for _, port := range p.all {
		st, err := p.up.control.status(p.up.ctx, port.number)
		stalled := errors.Is(err, usb.ErrStall) // the hub rejects requests for the port, for now
		if err != nil && !stalled {
			return err
		}
		if stalled || interesting(st) {
			port.check()
		}
	}
	return nil
}
