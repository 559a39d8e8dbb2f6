package usbhost

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// maxRootPorts is how many a Location can name.
const maxRootPorts = 255

// A root is a controller on the bus.
//
//	event                   | what happens
//	Changes has a token     | ports with changes are woken
//	Changes is closed, or a | everything behind it is removed, Options.Report hears of it; the controller stays on the list, dead,
//	port answers ErrDead    | until Remove or Close
//	Remove, Close           | everything behind it is removed, class drivers have returned, the controller is closed
type root struct {
	bus        *Bus
	controller Controller
	number     uint8
	branch     *branch

	ctx    context.Context
	end    context.CancelFunc
	tasks  sync.WaitGroup // run
	once   sync.Once      // close
	closed error          // of the controller

	defaults   *gate // the default address of the USB 2 ports
	addressing lock  // held from NewDevice to the end of Address
	drivers    sync.WaitGroup
}

func newRoot(b *Bus, c Controller, number uint8) *root {
	r := &root{bus: b, controller: c, number: number, defaults: newGate(), addressing: newLock()}
	r.ctx, r.end = context.WithCancel(context.Background())
	r.branch = newBranch(r, rootPorts{c}, nil, min(c.Ports(), maxRootPorts), timing{reset: rootReset, poll: rootPoll, powerGood: rootPowerGood})
	return r
}

// run is the controller's task.
func (r *root) run() {
	r.bus.report(Event{Kind: ControllerAdded, Path: r.controller.Name()})
	err := r.branch.powerUp()
	r.bus.done() // begun by Add
	for err == nil {
		select {
		case _, open := <-r.controller.Changes():
			if open {
				err = r.branch.scan(func(st PortStatus) bool { return st.Change != 0 })
			} else if err = r.controller.Err(); err == nil {
				err = ErrDead
			}
		case <-r.ctx.Done():
			err = r.ctx.Err()
		}
	}
	r.branch.close()
	if r.ctx.Err() == nil {
		if why := r.controller.Err(); why != nil && !errors.Is(err, why) {
			err = fmt.Errorf("%w: %w", err, why)
		}
		r.bus.report(Event{Kind: ControllerDied, Path: r.controller.Name(), Err: err})
	}
}

// close takes everything down, in the order from the leaves to the controller.
func (r *root) close() error {
	r.once.Do(func() {
		r.end()
		r.tasks.Wait()
		r.drivers.Wait()
		r.closed = r.controller.Close()
	})
	return r.closed
}

// rootPorts are a controller's ports.
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
