package xhcitest

import "time"

// Faults are deviations from the specification.
type Faults struct {
	NeverReady    bool // CNR stays set
	NeverReset    bool // HCRST stays set
	NeverHalts    bool // HCH is never set
	NeverRuns     bool // HCH stays set
	KeepsFirmware bool // firmware does not release the controller
	DropPorts     bool // port changes have no events
	DropTransfers bool // transfers have no events
	StuckAbort    bool // CRR stays set after an abort
	SilentAbort   bool // an aborted command has no event
	ShortSuccess  bool // the event of a short packet has the code Success
	TwiceSuccess  bool // the second event of a short TD has the code Success
	LazyState     bool // the context of an endpoint is not updated after a doorbell
	LateStop      int  // how often Stop Endpoint is rejected though the endpoint runs
	// SlowStart is the time after a doorbell in which an endpoint is reported as stopped. It starts
	// nevertheless.
	SlowStart time.Duration
	Overfetch bool // four TRBs beyond a link are read
	// NoSoftRetry: an endpoint that is continued after an error hangs, and so does Stop Endpoint.
	NoSoftRetry   bool
	NoLinkNoReset bool // Reset Endpoint stops the controller when the root port is not enabled
	SplitControl  bool // a control transfer with a link after its setup stage fails
	// Read overrides registers.
	Read map[uint32]uint32
	// Command, if set, is called with each command. It may be called at any time and must not call
	// the controller.
	Command func(kind int, slot int) Verdict
}

// Verdict is the result of a command.
type Verdict struct {
	// Lose: the command does not end until it is aborted.
	Lose bool
	// Code, if not zero, is the completion code. The command is not executed.
	Code int
	// Slot, if not zero, replaces the slot in the event.
	Slot int
}

// Set changes the faults.
func (c *Controller) Set(change func(f *Faults)) {
	c.mu.Lock()
	change(&c.faults)
	c.mu.Unlock()
}

// Remove removes the controller from the machine: all registers read as all ones.
func (c *Controller) Remove() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removed = true
	c.stop()
}

// Errors of the controller (xHCI 1.2, 5.4.2).
const (
	SystemError     = 1 << 2  // HSE
	ControllerError = 1 << 12 // HCE
)

// Break sets an error in USBSTS; the controller stops.
func (c *Controller) Break(bit uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.usbsts |= bit
	c.stop()
}

// StopByItself clears R/S, without an error.
func (c *Controller) StopByItself() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopByItself()
}

func (c *Controller) stopByItself() {
	c.usbcmd &^= 1
	c.stop()
}

// Inject puts an arbitrary event into the ring. control is without the cycle bit.
func (c *Controller) Inject(parameter uint64, status, control uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.post(parameter, status, control)
}

// Rings are the dequeue pointers of the transfer rings of a slot, by endpoint index, for hostile
// events.
func (c *Controller) Rings(slot int) map[int]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := map[int]uint64{}
	if slot < len(c.slots) && c.slots[slot] != nil {
		for i, e := range c.slots[slot].endpoints {
			if e != nil {
				m[i] = e.dequeue
			}
		}
	}
	return m
}

// Fresh is how often the sequence number of an endpoint was reset since it was first added.
func (c *Controller) Fresh(slot, index int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.slots[slot].endpoints[index].fresh
}
