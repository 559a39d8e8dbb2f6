package xhcitest

import "context"

// commandRing is the command ring (xHCI 1.2, 4.6.1).
type commandRing struct {
	dequeue uint64
	cycle   uint32
	running bool // CRR
	active  bool
	again   bool
	halt    bool          // stop after the command in progress
	aborted chan struct{} // closed by an abort; not nil while a command does not complete
}

// writeCRCR writes one half of CRCR (xHCI 1.2, 5.4.5).
func (c *Controller) writeCRCR(v uint64, high bool) {
	k := &c.command
	if !k.running {
		if v&(1<<1|1<<2) == 0 || high {
			if v&0x30 != 0 {
				c.fail("CRCR %#x", v)
			}
			c.crcr = v &^ 0xE
			k.dequeue, k.cycle = v&^0x3F, uint32(v&1)
		}
		return
	}
	switch {
	case v&(1<<2) == 0 || high:
	case k.aborted != nil:
		close(k.aborted)
		k.aborted = nil
	case k.active:
		k.halt = true // after the command in progress
	default:
		c.stopCommands()
	}
}

// stopCommands stops the command ring (xHCI 1.2, 4.6.1.1).
func (c *Controller) stopCommands() {
	c.command.running, c.command.halt = false, false
	c.post(c.command.dequeue, RingStopped<<24, 33<<10)
}

// startCommands starts the command ring, after a doorbell.
func (c *Controller) startCommands() {
	k := &c.command
	k.running = true
	if k.active {
		k.again = true
		return
	}
	k.active = true
	c.active++
	go c.workCommands(c.run)
}

// workCommands executes commands until the ring is empty.
func (c *Controller) workCommands(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := &c.command
	for ctx.Err() == nil && c.running() {
		if k.halt {
			c.stopCommands()
			break
		}
		t, ok := c.fetch(&k.dequeue, &k.cycle, "command ring")
		if !ok {
			if !k.again {
				break
			}
			k.again = false
			continue
		}
		if !c.runCommand(ctx, t) {
			break
		}
	}
	k.active = false
	c.active--
	c.moved.Broadcast()
}

// runCommand executes one command and posts its event. It reports whether the ring continues.
func (c *Controller) runCommand(ctx context.Context, t request) bool {
	id := int(t.control >> 24)
	kind := t.kind()
	var v Verdict
	if c.faults.Command != nil {
		v = c.faults.Command(kind, id)
	}
	switch {
	case v.Lose, c.hangs(t, id):
		return c.lose(ctx, t, id)
	case v.Code == 0:
		v.Code, id = c.do(ctx, t, id)
	}
	if ctx.Err() != nil {
		return false
	}
	if v.Slot != 0 {
		id = v.Slot
	}
	c.log = append(c.log, Done{Command: kind, Slot: id, Code: v.Code})
	c.post(t.at, uint32(v.Code)<<24, 33<<10|uint32(id)<<24)
	return true
}

// hangs reports whether a command stops an endpoint that hangs.
func (c *Controller) hangs(t request, id int) bool {
	if t.kind() != StopEndpoint || id >= len(c.slots) || c.slots[id] == nil {
		return false
	}
	e := c.slots[id].endpoints[t.endpoint()]
	return e != nil && e.stuck
}

// lose delays a command until it is aborted. It returns false: the ring has stopped.
func (c *Controller) lose(ctx context.Context, t request, id int) bool {
	k := &c.command
	aborted := make(chan struct{})
	k.aborted = aborted
	c.mu.Unlock()
	select {
	case <-aborted:
	case <-ctx.Done():
	}
	c.mu.Lock()
	k.aborted = nil
	if ctx.Err() != nil || c.faults.StuckAbort {
		return false
	}
	if !c.faults.SilentAbort {
		c.post(t.at, Aborted<<24, 33<<10|uint32(id)<<24)
	}
	c.stopCommands()
	return false
}
