package usbhost

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// maxRootPorts is the largest port number of a Location.
const maxRootPorts = 255

// Timing of root ports.
const (
	// rootReset is the duration of a reset (USB 2.0, 7.1.7.5, TDRSTR: 50 ms). The controller keeps
	// it.
	rootReset = 50 * time.Millisecond
	// rootPoll is the time between two reads of the status of a port in reset, besides its changes
	// (policy).
	rootPoll = 5 * time.Millisecond
)

// A rootHub is a controller on the bus, with its root ports.
//
//	event                    | action
//	Changes receives a value | ports with changes are checked
//	Changes is closed, or a  | everything behind it is removed and ControllerDied is reported; the
//	port returns ErrDead     | controller stays on the bus until Remove or Close
//	Remove, Close            | everything behind it is removed, class drivers have returned, the
//	                         | controller is closed
type rootHub struct {
	ports *ports

	end    context.CancelFunc
	tasks  sync.WaitGroup // run
	once   sync.Once      // shutDown
	closed error          // of the controller's Close
}

// newRootHub makes the root hub of t.controller.
func newRootHub(t *tree) *rootHub {
	r := &rootHub{}
	t.ctx, r.end = context.WithCancel(context.Background())
	c := t.controller
	r.ports = newPorts(newUpstream(t, rootPorts{c}, nil, timing{
		reset: rootReset, poll: rootPoll, powerGood: c.PowerGood(),
	}), min(c.Ports(), maxRootPorts))
	return r
}

// run is the goroutine of the controller. tree.work counts it until the ports were checked.
func (r *rootHub) run() {
	t := r.ports.up.tree
	c := t.controller
	t.report(Event{Kind: ControllerAdded, Path: c.Name()})
	err := r.ports.powerUp()
	t.work.done()
	for err == nil {
		select {
		case _, open := <-c.Changes():
			if open {
				err = r.ports.scan(func(st PortStatus) bool { return st.Change != 0 })
			} else if err = c.Err(); err == nil {
				err = ErrDead
			}
		case <-t.ctx.Done():
			err = t.ctx.Err()
		}
	}
	r.ports.up.close()
	if t.ctx.Err() == nil {
		if why := c.Err(); why != nil && !errors.Is(err, why) {
			err = fmt.Errorf("%w: %w", err, why)
		}
		t.report(Event{Kind: ControllerDied, Path: c.Name(), Err: err})
	}
}

// shutDown removes everything behind the controller, from the leaves to the root, and closes it.
func (r *rootHub) shutDown() error {
	t := r.ports.up.tree
	r.once.Do(func() {
		r.end()
		r.tasks.Wait()
		t.drivers.Wait()
		r.closed = t.controller.Close()
	})
	return r.closed
}

// rootPorts operates the root ports of a controller.
type rootPorts struct{ c Controller }

func (r rootPorts) status(_ context.Context, port int) (PortStatus, error) { return r.c.Port(port) }

func (r rootPorts) setPower(_ context.Context, port int, on bool) error {
	return r.c.SetPower(port, on)
}

func (r rootPorts) startReset(_ context.Context, port int, kind Reset) error {
	return r.c.StartReset(port, kind)
}

func (r rootPorts) disable(_ context.Context, port int) error { return r.c.Disable(port) }

func (r rootPorts) acknowledge(_ context.Context, port int, changes PortChange) error {
	return r.c.Acknowledge(port, changes)
}
