//go:build linux && !tamago

// Package usbcases tests a USB host from outside: in a machine of package harness whose programs
// drive the USB host controller with baremetal/usbhost. A case decides where readers are plugged
// in, when they come and go, and which faults occur on the wire; an agent in the machine reports
// what it finds. The cases are the same for each board.
package usbcases

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tamaccid/board/qemu/harness"
	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
	"tamaccid/ccid/sim/usbredir"
	"tamaccid/ccid/sim/vscard"
)

// A Board starts a machine with this configuration, to which it adds the program to boot, and
// starts the agent there. The controller is in use when it returns.
type Board func(ctx context.Context, c harness.Config) (*harness.Machine, *harness.Agent, error)

// Time limits, policy.
const (
	bootTime  = 90 * time.Second
	caseTime  = 90 * time.Second
	labLimit  = 10 * time.Minute // of one machine
	rootPorts = 8                // of the controller, for each of USB 2 and USB 3
)

// second is another controller, secondBus its bus.
const (
	second    = "usb2"
	secondBus = second + ".0"
)

// Models are QEMU's xHCI controllers.
var Models = []harness.Controller{harness.XHCI, harness.NECXHCI}

// lab is the machine for the cases of one controller. After a failure it is ended, and the next
// case boots another.
type lab struct {
	board   Board
	model   harness.Controller
	machine *harness.Machine
	agent   *harness.Agent
}

// stand is the environment of one case.
type stand struct {
	*testing.T
	ctx     context.Context
	machine *harness.Machine
	agent   *harness.Agent
	in      []string // identifiers of what is plugged in, in the order of plugging in
	err     error    // of the last command
}

// Test runs all cases, with each of the models.
func Test(t *testing.T, board Board, models ...harness.Controller) {
	harness.Require(t)
	for _, model := range models {
		t.Run(string(model), func(t *testing.T) {
			t.Parallel()
			l := &lab{board: board, model: model}
			defer l.end()
			for _, group := range [][]trial{topologies, removals, faults, badDescriptors, storms} {
				for _, c := range group {
					l.run(t, c)
				}
			}
		})
	}
}

// trial is a test case.
type trial struct {
	name string
	run  func(s *stand)
}

func (l *lab) run(t *testing.T, c trial) {
	t.Run(c.name, func(t *testing.T) {
		if err := l.boot(t); err != nil {
			l.end()
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), caseTime)
		defer cancel()
		s := &stand{T: t, ctx: ctx, machine: l.machine, agent: l.agent}
		defer func() {
			if s.Failed() || !s.agent.Usable(s.err) {
				l.machine.KeepLog(t)
				l.end()
			}
		}()
		c.run(s)
		s.clear()
	})
}

func (l *lab) boot(t *testing.T) (err error) {
	if l.machine != nil {
		return nil
	}
	began := time.Now()
	boot, cancel := context.WithTimeout(context.Background(), bootTime)
	defer cancel()
	own, err := card.Named("t0")
	if err != nil {
		return err
	}
	l.machine, l.agent, err = l.board(boot, harness.Config{
		Reader: true,
		Card:   vscard.NewSlot(own).Serve,
		// A second controller.
		Args: []string{"-device", string(l.model) + ",id=" + second},
		Controller: harness.Controller(fmt.Sprintf("%s,p2=%d,p3=%d", l.model, rootPorts,
			rootPorts)),
		Limit: labLimit,
	})
	if err != nil {
		if l.machine != nil {
			l.machine.KeepLog(t)
		}
		return err
	}
	// QEMU's own reader is plugged in from the start, for its card; the cases begin with nothing.
	if err := l.machine.UnplugReader(boot); err != nil {
		return err
	}
	t.Logf("machine ready after %v", time.Since(began).Round(time.Millisecond))
	return nil
}

func (l *lab) end() {
	if l.machine != nil {
		l.machine.Close()
	}
	l.machine, l.agent = nil, nil
}

func (s *stand) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// do sends a command to the agent, which must not fail.
func (s *stand) do(words ...string) string {
	s.Helper()
	text, err := s.agent.Do(s.ctx, strings.Join(words, " "))
	s.err = err
	if err != nil {
		s.Fatalf("%s: %v", strings.Join(words, " "), err)
	}
	return text
}

// expect makes the agent check that there are just these readers, with a card that answers in each.
func (s *stand) expect(keys ...string) {
	s.Helper()
	s.do(append([]string{"expect"}, keys...)...)
}

// device makes a virtual reader with a card. The agent finds it by its name.
func (s *stand) device(id, kind string) *reader.Device {
	s.Helper()
	m, err := reader.Named(kind)
	s.must(err)
	return s.model(id, m)
}

func (s *stand) model(id string, m reader.Model) *reader.Device {
	s.Helper()
	m.Manufacturer, m.ProductName = "Virtual", id
	d := reader.NewDevice(m)
	s.insertCard(d)
	return d
}

// plug plugs a virtual reader in.
func (s *stand) plug(id, port string, d *reader.Device) {
	s.Helper()
	s.add(harness.Redirected{ID: id, Port: port}, d)
}

// plugInto plugs a virtual reader into a bus.
func (s *stand) plugInto(bus, id string, d *reader.Device) {
	s.Helper()
	s.add(harness.Redirected{ID: id, Bus: bus}, d)
}

func (s *stand) add(r harness.Redirected, d *reader.Device) {
	s.Helper()
	r.Serve = (&usbredir.Server{Device: d}).Serve
	s.must(s.machine.Plug(s.ctx, r))
	s.in = append(s.in, r.ID)
}

// unplug unplugs a device.
func (s *stand) unplug(id string) {
	s.Helper()
	s.must(s.machine.DeviceDel(s.ctx, id))
	s.in = slices.DeleteFunc(s.in, func(other string) bool { return other == id })
}

// hub plugs hubs in, each behind the one before: "1", "1.1", "1.1.1".
func (s *stand) hub(ports ...string) {
	s.Helper()
	for _, port := range ports {
		s.must(s.machine.PlugHub(s.ctx, port))
		s.in = append(s.in, harness.HubID(port))
	}
}

// own plugs QEMU's own reader in, with a card.
func (s *stand) own(port string) {
	s.Helper()
	s.must(s.machine.PlugReaderAt(s.ctx, port))
	s.in = append(s.in, harness.ReaderID)
}

// clear unplugs everything and checks that no reader is left.
func (s *stand) clear() {
	s.Helper()
	for len(s.in) > 0 {
		last := s.in[len(s.in)-1]
		if last == harness.ReaderID {
			s.must(s.machine.UnplugReader(s.ctx))
			s.in = s.in[:len(s.in)-1]
			continue
		}
		s.unplug(last)
	}
	s.expect()
}
