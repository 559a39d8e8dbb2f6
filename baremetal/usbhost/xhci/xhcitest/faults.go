package xhcitest

import "time"

// Faults is how a controller misbehaves.
type Faults struct {
	NeverReady    bool          // CNR stays
	NeverReset    bool          // HCRST stays
	NeverHalts    bool          // HCH never comes
	NeverRuns     bool          // HCH stays
	KeepsFirmware bool          // firmware does not let go
	DropPorts     bool          // port changes have no events
	DropTransfers bool          // transfers have no events
	StuckAbort    bool          // CRR stays after an abort
	SilentAbort   bool          // an aborted command has no event
	ShortSuccess  bool          // a short packet's event says success
	TwiceSuccess  bool          // the second event of a short descriptor says success
	LazyState     bool          // a context does not say that a doorbell has started its endpoint
	LateStop      int           // that often, Stop Endpoint is refused though the endpoint is running
	SlowStart     time.Duration // so long an endpoint looks as if it were stopped after its doorbell, and cannot be kept from starting
	Overfetch     bool          // four blocks are read from beyond a link
	NoSoftRetry   bool          // an endpoint hangs that goes on where it was after an error, and so does the command that is to stop it
	NoLinkNoReset bool          // Reset Endpoint stops the controller when the root port is not enabled
	SplitControl  bool          // a control transfer fails that has a link after its setup stage
	// Read overrides registers.
	Read map[uint32]uint32
	// Command, if set, is asked about each command. It may be called at any time and must not call the controller.
	Command func(kind int, slot int) Verdict
}

// Verdict is what becomes of a command.
type Verdict struct {
	// Lose says that it never ends, unless it is aborted.
	Lose bool
	// Code, if not zero, is its completion code, and nothing is done.
	Code int
	// Slot, if not zero, is in the event in place of the right one.
	Slot int
}

// Set changes the faults.
func (c *Controller) Set(change func(f *Faults)) {
	c.mu.Lock()
	change(&c.faults)
	c.mu.Unlock()
}

// Remove takes the controller from the machine: all its registers read as ones.
func (c *Controller) Remove() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removed = true
	c.stop()
}

// Errors of the controller itself (xHCI 1.2, 5.4.2).
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

// StopByItself clears the run bit, as a controller does that has lost its mind.
func (c *Controller) StopByItself() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopByItself()
}

func (c *Controller) stopByItself() {
	c.usbcmd &^= 1
	c.stop()
}

// Inject puts any event into the ring: parameter, status, control without the cycle bit.
func (c *Controller) Inject(parameter uint64, status, control uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.post(parameter, status, control)
}

// Rings are the addresses where the transfer rings of a slot go on, by doorbell index: what a hostile event would point to.
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

// Fresh is how often the sequence number of an endpoint, by slot and doorbell index, went back to zero since it was first added.
func (c *Controller) Fresh(slot, index int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.slots[slot].endpoints[index].fresh
}
