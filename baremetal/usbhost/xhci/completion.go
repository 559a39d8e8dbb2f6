package xhci

// event handles a transfer event of this endpoint. It reports whether the event belongs to the
// transfer in flight. c.mu is held.
func (e *endpoint) event(t trb) bool {
	td, code := &e.td, t.code()
	if code == codeRingUnderrun || code == codeRingOverrun {
		return true // of isochronous endpoints, without a pointer
	}
	at, ok := e.ring.index(t.parameter)
	if !ok && t.parameter == e.ring.link() &&
		code >= codeStopped && code <= codeStoppedShort {
		at, ok, code = 0, true, codeStoppedLength
	}
	k := (at - td.first + ringSize - 1) % (ringSize - 1)
	if !td.pending || !ok || k >= td.count {
		return false
	}
	before, last := uint32(0), k == td.count-1
	if k > 0 {
		before = td.end[k-1]
	}
	left := t.residue()
	switch {
	case code == codeStoppedShort:
		// the length is EDTLA, the bytes transferred of the whole TD (xHCI 1.2, 4.6.9)
		e.complete(code, int(min(left, td.end[td.count-1])))
		return true
	case code == codeStoppedLength:
		left = td.end[k] - before
	case left > td.end[k]-before && (code == codeSuccess || code == codeShort):
		e.complete(codeInvalid, 0) // the residue is longer than the TRB
		return true
	case left > td.end[k]-before:
		left = td.end[k] - before
	}
	n := int(td.end[k] - left)
	switch {
	case code != codeSuccess && code != codeShort:
		if td.control && last {
			n = td.moved(n)
		}
		e.complete(code, n)
	case td.control && !last:
		if left > 0 || code == codeShort {
			td.short, td.n = true, n
		}
	case td.control:
		e.complete(codeSuccess, td.moved(n))
	case last || code == codeShort || left > 0: // short, whatever the code
		e.complete(code, n)
	}
	return true
}

// moved is the length of the data stage after the status stage. all is the length if it was not
// short.
func (td *transfer) moved(all int) int {
	if td.short {
		return td.n
	}
	return all
}

// complete ends the transfer in flight. c.mu is held.
func (e *endpoint) complete(code code, n int) {
	e.td.pending, e.td.code, e.td.n = false, code, n
	if e.urgentKind() {
		e.d.c.urgent--
	}
	select {
	case e.done <- struct{}{}:
	default:
	}
}

// withdrawn ends the transfer in flight if no event has ended it. The controller does not execute
// it any more.
func (e *endpoint) withdrawn() {
	c := e.d.c
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drain()
	if e.td.pending {
		e.complete(codeStopped, 0)
	}
	select {
	case <-e.done:
	default:
	}
}

// inFlight reports whether a transfer was started that no event has ended.
func (e *endpoint) inFlight() bool {
	e.d.c.mu.Lock()
	defer e.d.c.mu.Unlock()
	return e.td.pending
}
