//go:build linux && !tamago

package usbcases

import (
	"time"

	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
	"tamaccid/ccid/usb"
)

// strike injects faults into a device. The channel is closed when the last of them strikes for the
// first time.
func strike(d *reader.Device, lines ...reader.Fault) <-chan struct{} {
	struck := make(chan struct{})
	last := &lines[len(lines)-1]
	last.Do = append(last.Do, func(*reader.Event) {
		select {
		case <-struck:
		default:
			close(struck) // faults strike one after the other
		}
	})
	d.Inject(lines...)
	return struck
}

// wait waits until a fault has struck.
func (s *stand) wait(struck <-chan struct{}) {
	s.Helper()
	select {
	case <-struck:
	case <-s.ctx.Done():
		s.Fatal("the fault did not strike")
	}
}

// asks is a request for a descriptor.
func asks(kind uint8) func(*reader.Event) bool {
	return func(e *reader.Event) bool {
		return e.Setup.In() && e.Setup.Request == usb.RequestGetDescriptor &&
			uint8(e.Setup.Value>>8) == kind
	}
}

// removals are readers that are unplugged during a transfer.
var removals = []trial{
	{"unplugged in the middle of a control transfer", func(s *stand) {
		d := s.device("short-lived", "short")
		struck := strike(d, reader.Fault{At: reader.AtControl, If: asks(usb.TypeConfiguration),
			Do: []reader.Action{reader.Block()}})
		s.plug("short-lived", "1", d)
		s.wait(struck)
		s.unplug("short-lived")
		s.plug("next", "1", s.device("next", "short"))
		s.expect("next")
	}},
	{"unplugged in the middle of a bulk IN transfer", func(s *stand) {
		d := s.device("short-lived", "short")
		s.plug("short-lived", "1", d)
		s.expect("short-lived")
		s.interrupted(strike(d,
			reader.Fault{At: reader.AtAnswer, Do: []reader.Action{reader.Lose()}}))
	}},
	{"unplugged in the middle of a bulk OUT transfer", func(s *stand) {
		d := s.device("short-lived", "high-speed")
		s.plug("short-lived", "1", d)
		s.expect("short-lived")
		s.interrupted(strike(d,
			reader.Fault{At: reader.AtOut, Do: []reader.Action{reader.Block()}}))
	}},
	{"unplugged while its interrupt transfer waits, behind a hub", func(s *stand) {
		s.hub("2")
		s.plug("short-lived", "2.1", s.device("short-lived", "short"))
		s.expect("short-lived")
		s.unplug("short-lived")
		s.plug("next", "2.1", s.device("next", "short"))
		s.expect("next")
	}},
	{"a hub unplugged in the middle of a transfer behind it", func(s *stand) {
		s.hub("1", "1.1")
		d := s.device("short-lived", "short")
		s.plug("short-lived", "1.1.1", d)
		s.expect("short-lived")
		struck := strike(d, reader.Fault{At: reader.AtAnswer, Do: []reader.Action{reader.Lose()}})
		s.must(s.agent.Send(s.ctx, "try short-lived"))
		s.wait(struck)
		s.unplug("hub1")
		s.in = nil
		s.fails()
	}},
}

// interrupted unplugs the reader while an exchange with it waits. The exchange must fail, and
// another reader works in its place.
func (s *stand) interrupted(struck <-chan struct{}) {
	s.Helper()
	s.must(s.agent.Send(s.ctx, "try short-lived"))
	s.wait(struck)
	s.unplug("short-lived")
	s.fails()
	s.plug("next", "1", s.device("next", "short"))
	s.expect("next")
}

// fails waits for the agent's answer, which must be a failure.
func (s *stand) fails() {
	s.Helper()
	text, err := s.agent.Answer(s.ctx)
	s.err = err
	switch {
	case err == nil:
		s.Fatalf("it succeeded: %s", text)
	case !s.agent.Usable(err):
		s.Fatal(err)
	}
	s.Log(err)
}

// A transferFault is a fault of a reader that works otherwise.
type transferFault struct {
	name  string
	kind  string
	fault reader.Fault
	// fatal reports that the exchange in which it strikes may fail. The next must not.
	fatal bool
}

var transferFaults = []transferFault{
	{"a stall of bulk OUT", "short",
		reader.Fault{At: reader.AtOut, Do: []reader.Action{reader.Stall()}}, true},
	{"a stall of bulk IN", "short", before(usb.ErrStall), false},
	{"a stall of bulk IN at SuperSpeed", "super-speed", before(usb.ErrStall), false},
	{"a babble on bulk IN", "short", before(usb.ErrBabble), false},
	{"a transaction error on bulk IN", "high-speed", before(usb.ErrTransfer), false},
	{"a transaction error on bulk OUT", "short",
		reader.Fault{At: reader.AtOut, Do: []reader.Action{reader.Corrupt()}}, true},
	{"an answer that is lost", "short",
		reader.Fault{At: reader.AtAnswer, Do: []reader.Action{reader.Lose()}}, true},
	{"zero-length packets before each answer", "short",
		reader.Fault{At: reader.AtAnswer, Times: reader.Forever,
			Do: []reader.Action{reader.ZLPFirst(2)}}, false},
	{"zero-length packets after each answer", "high-speed",
		reader.Fault{At: reader.AtAnswer, Times: reader.Forever,
			Do: []reader.Action{reader.ZLPAfter(1)}}, false},
	{"an answer that is shorter than a header", "short",
		reader.Fault{At: reader.AtAnswer, Do: []reader.Action{reader.Truncate(3)}}, true},
	{"answers that come late", "high-speed",
		reader.Fault{At: reader.AtAnswer, Times: 4,
			Do: []reader.Action{reader.Delay(300 * time.Millisecond)}}, false},
}

// before makes a bulk IN transfer fail with err. The answer follows in the next transfer.
func before(err error) reader.Fault {
	return reader.Fault{At: reader.AtAnswer, Do: []reader.Action{func(e *reader.Event) {
		e.Answers = append([]reader.Answer{{Err: err}}, e.Answers...)
	}}}
}

// faults strike while a reader is in use.
var faults = func() (all []trial) {
	for _, m := range transferFaults {
		all = append(all, trial{m.name, func(s *stand) {
			d := s.device("faulty", m.kind)
			s.plug("faulty", "1", d)
			s.plug("beside", "2", s.device("beside", "short"))
			s.expect("faulty", "beside")
			d.Inject(m.fault)
			_, err := s.agent.Do(s.ctx, "try faulty")
			if s.err = err; err != nil && (!m.fatal || !s.agent.Usable(err)) {
				s.Fatal(err)
			}
			if d.Pending() > 0 {
				s.Error("the fault did not strike")
			}
			s.do("try beside")
			d.Heal()
			s.expect("faulty", "beside")
		}})
	}
	return append(all,
		trial{"a stall of the interrupt endpoint, after which the card's removal is noticed",
			func(s *stand) {
				d := s.device("faulty", "short")
				s.plug("faulty", "1", d)
				s.expect("faulty")
				struck := strike(d, reader.Fault{At: reader.AtNotify,
					Do: []reader.Action{reader.Stall()}})
				s.swapCards(d, struck)
			}},
		trial{"a babble on the interrupt endpoint", func(s *stand) {
			d := s.device("faulty", "high-speed")
			s.plug("faulty", "1", d)
			s.expect("faulty")
			struck := strike(d, reader.Fault{At: reader.AtNotify,
				Do: []reader.Action{reader.Babble()}})
			s.swapCards(d, struck)
		}},
	)
}()

// swapCards removes and inserts the card of the reader "faulty" until a fault of its notifications
// has struck. More than one try may be needed: a notification that has not been read is updated,
// and no other is sent.
func (s *stand) swapCards(d *reader.Device, struck <-chan struct{}) {
	s.Helper()
	for {
		s.removeCard(d)
		s.insertCard(d)
		s.expect("faulty")
		select {
		case <-struck:
			return
		default:
		}
	}
}

// removeCard takes the card out of a reader. The agent must report that.
func (s *stand) removeCard(d *reader.Device) {
	s.Helper()
	d.Reader(0).Remove(0)
	s.must(s.agent.Send(s.ctx, "try "+d.Model().ProductName))
	s.fails()
}

// insertCard puts a card into a reader.
func (s *stand) insertCard(d *reader.Device) {
	s.Helper()
	c, err := card.Named("t1")
	s.must(err)
	d.Reader(0).Insert(0, c)
}
