package ccid

import (
	"time"

	"tamaccid/ccid/internal/pipe"
)

// The layers of a slot, and what each event changes in them. Each layer has one state:
//
//	link      pipe.Slot               in step; stale: the reader may still owe an answer
//	slot      cardState.slot          Unknown, Absent, Inactive, Active: as shown last
//	trust     cardState.trust         sure; doubtful: the slot is asked first; faulty
//	session   cardState.session       none; ended: its card has gone, was replaced or reset;
//	                                  powered: with an answer to reset; ready: with a protocol
//	report    cardState.report        a notification of a known insertion: none, possible, due
//	T=1       t1.Engine               in step; lost: the next APDU begins with S(RESYNCH request)
//
//	event                             link     slot      trust     session  report   T=1   change
//	answer: icc absent                -        Absent    (5)       ended    -        -     (1)
//	answer: icc inactive              -        Inactive  (5)       ended    due (2)  -     (3)
//	  to IccPowerOff or IccPowerOn    -        Inactive  (5)       none     due (2)  -     (4)
//	answer: icc active                -        Active    (5)       -        due (2)  -     (4)
//	answer: slot busy, time extension -        -         -         -        -        -     -
//	no answer in time, or malformed,  stale    -         -         -        -        (11)  -
//	  or USB fails, or context ends
//	chain of APDU parts broken        stale    -         -         -        -        -     -
//	abort sequence done               in step  -         -         -        -        -     -
//	panic in an exchange              -        -         -         -        -        lost  -
//	notification: absent              -        Absent    (6)       ended    -        -     (1)
//	  powered, (7)                    -        Absent    doubtful  -        -        -     (1)
//	notification: present, changed    -        Inactive  (6)       ended    none     -     yes
//	  powered, the host powers cards  -        -         doubtful  -        none     -     (8)
//	  a report is expected            -        (9)       (6)       -        none     -     (4)
//	notification: present             -        (9)       (6)       -        none     -     (4)
//	notifications lost, powered       -        as present, changed, not expected
//	notification: hardware error      -        -         faulty    ended    -        -     yes
//	latency has passed                -        -         -         -        (10)     -     -
//	a power-up begins                 -        -         (6)       -        -        -     -
//	IccPowerOff was sent              -        -         -         none     -        -     -
//	answer to reset taken             -        -         (6)       powered  -        -     -
//	protocol agreed                   -        -         -         ready    -        new   -
//	reader gone                       -        Unknown   -         ended    -        -     yes
//
//	(1)  if it was not absent and not Unknown, or a notification reports a change
//	(2)  if the slot was Absent and notifications are read
//	(3)  if it was Absent, or a session has ended
//	(4)  if it was Absent
//	(5)  sure if it was doubtful
//	(6)  sure if it was faulty
//	(7)  and the host powers cards, or a report is expected: the card may have been there again
//	     when it was powered
//	(8)  unless a report is expected
//	(9)  Inactive if it was Absent or Unknown
//	(10) none, unless it is due
//	(11) lost, unless the machine recovers by asking for the block again (t1/engine.go)
//
// A session ends only if it was powered or ready. A call that finds its session ended fails with
// ErrCardChanged, or with ErrNoCard where the slot is empty; one on a faulty slot fails with
// ErrHardware, and one on a slot without a session with ErrNotPowered.
//
// Answers show the state at once, notifications arrive later: by the interval of the interrupt
// endpoint, and by the time that the host takes to deliver them. A report is due from the moment at
// which an answer shows a card in a slot that was empty until a notification reports a card there.
// It is possible after Open, for the card that was in the slot before, until latency has passed.
//
// Where the reader powers cards by itself, another card is active like the one before, and nothing
// but a notification shows the difference. Therefore a card is powered only when no report is
// expected any more (power.go): each one that reports a change later reports another card. One of a
// change within latency before IccPowerOn, removal and insertion, of which no answer showed
// anything, cannot be distinguished from that, and ends the session as well.

// trust is how far the known state of a slot can be relied on.
type trust uint8

const (
	sure trust = iota
	doubtful
	faulty
)

// session is the use of one card, from its answer to reset on.
type session uint8

const (
	sessionNone session = iota
	sessionEnded
	sessionPowered
	sessionReady
)

// report is an insertion that is known and that a notification may report later.
type report struct {
	due   bool      // it will, in any case
	until time.Time // it may, until then
	// done is closed when one has reported a card.
	done chan struct{}
}

// cardState is what is known of the card in a slot.
type cardState struct {
	slot     State
	trust    trust
	session  session
	protocol Protocol // of a session that is ready
	report   report
	// changes counts insertions, removals and replacements.
	changes uint32
}

// powered reports whether the slot has a session with a card.
func (c *cardState) powered() bool { return c.session >= sessionPowered }

// agreed returns the protocol of the session, or what is wrong.
func (c *cardState) agreed() (Protocol, error) {
	switch {
	case c.session == sessionReady:
		return c.protocol, nil
	case c.trust == faulty:
		return Undefined, ErrHardware
	case c.session == sessionEnded:
		return Undefined, ErrCardChanged
	}
	return Undefined, ErrNotPowered
}

// become sets the state of the slot, and counts a change.
func (c *cardState) become(slot State, change bool) {
	c.slot = slot
	if change {
		c.changes++
	}
}

// end ends a session that had a card.
func (c *cardState) end() {
	if c.powered() {
		c.session = sessionEnded
	}
	c.protocol = Undefined
}

// expected reports whether a notification may report an insertion that is known.
func (c *cardState) expected() bool {
	return c.report.due || time.Now().Before(c.report.until)
}

// expect begins the time in which a notification may report a card that is there already.
func (c *cardState) expect(latency time.Duration) {
	c.report.until = time.Now().Add(latency)
	select {
	case <-c.report.done:
		c.report.done = make(chan struct{})
	default:
	}
}

// answered takes the state of the card from an answer: pipe.ICCAbsent and so on. own is set for
// answers to IccPowerOff and IccPowerOn, notifies if notifications are read, latency late at most.
func (c *cardState) answered(icc uint8, own, notifies bool, latency time.Duration) {
	if c.trust == doubtful {
		c.trust = sure
	}
	was := c.slot
	if was == Absent && icc != pipe.ICCAbsent && notifies { // CCID 1.1, 6.3.1
		c.report.due = true
		c.expect(latency)
	}
	switch icc {
	case pipe.ICCAbsent:
		c.become(Absent, was != Absent && was != Unknown)
		c.end()
	case pipe.ICCInactive:
		c.become(Inactive, was == Absent || c.powered() && !own)
		if own && c.powered() {
			c.unpowered()
		} else {
			c.end()
		}
	case pipe.ICCActive:
		c.become(Active, was == Absent)
	}
}

// answeredAnything takes an answer that does not show whether there is a card.
func (c *cardState) answeredAnything() {
	if c.trust == doubtful {
		c.trust = sure
	}
	if c.slot == Unknown {
		c.slot = Inactive
	}
}

// notified takes one slot's bits of a slot change notification (CCID 1.1, 6.3.1). auto is set if
// the reader powers cards by itself.
func (c *cardState) notified(present, changed, auto bool) {
	if c.trust == faulty {
		c.trust = sure
	}
	expected := c.expected()
	if present {
		c.report.due, c.report.until = false, time.Time{}
		select {
		case <-c.report.done:
		default:
			close(c.report.done)
		}
	}
	switch was := c.slot; {
	case !present:
		if c.powered() && (!auto || expected) {
			c.trust = doubtful // the card may have been there again when it was powered
		} else {
			c.end()
		}
		c.become(Absent, was != Absent && (was != Unknown || changed))
	case changed && c.powered() && !auto:
		c.trust = doubtful // another card would not be powered
		c.become(was, !expected)
	case changed && !expected:
		c.end()
		c.become(Inactive, true)
	case was == Absent || was == Unknown:
		c.become(Inactive, was == Absent)
	}
}

// missed is the loss of notifications: the card may have been changed.
func (c *cardState) missed(auto bool) {
	c.report.due, c.report.until = false, time.Time{}
	if c.powered() {
		c.notified(true, true, auto)
	}
}

// failed is a hardware error notification (CCID 1.1, 6.3.2).
func (c *cardState) failed() {
	c.trust = faulty
	c.end()
	c.become(c.slot, true)
}

// gone is the end of the reader.
func (c *cardState) gone() {
	c.end()
	c.become(Unknown, true)
}

// repaired is the beginning of a power-up, which ends a fault.
func (c *cardState) repaired() {
	if c.trust == faulty {
		c.trust = sure
	}
}

// unpowered is the end of the session by the host.
func (c *cardState) unpowered() { c.session, c.protocol = sessionNone, Undefined }

// reset is the beginning of a session with an answer to reset.
func (c *cardState) reset() {
	c.repaired()
	c.session, c.protocol = sessionPowered, Undefined
}

// ready is the agreement on a protocol.
func (c *cardState) ready(p Protocol) { c.session, c.protocol = sessionReady, p }

// update applies an event to the state of the card, and wakes those that wait for a change.
func (s *Slot) update(event func(c *cardState)) {
	s.mu.Lock()
	before := s.card.changes
	event(&s.card)
	if s.card.changes != before {
		s.wakeWaiters()
	}
	s.mu.Unlock()
}

// wakeWaiters makes WaitChange look again. The caller holds mu.
func (s *Slot) wakeWaiters() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// known returns a copy of what is known of the card.
func (s *Slot) known() cardState {
	s.mu.Lock()
	c := s.card
	s.mu.Unlock()
	return c
}

// observe takes the state of the card from an answer to a command of type t.
func (s *Slot) observe(h pipe.Header, t pipe.MessageType) {
	icc := h.ICC()
	lies := t == pipe.GetSlotStatus && s.r.quirk.StatusLies
	if t == pipe.XfrBlock && h.CommandStatus() == pipe.StatusOK && h.Length > 0 {
		icc = pipe.ICCActive // a card that answers is present, whatever else the reader reports
	}
	own := t == pipe.IccPowerOff || t == pipe.IccPowerOn
	notifies := s.r.notifies()
	s.update(func(c *cardState) {
		if lies {
			c.answeredAnything()
			return
		}
		c.answered(icc, own, notifies, s.r.latency)
	})
}
