//go:build linux && !tamago

package usbcases

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tamaccid/board/qemu/harness"
	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
	"tamaccid/ccid/usb"
)

// A hostile device tries to make its driver hang, run out of memory or fail.
type hostile struct {
	name string
	kind string // in the catalogue of readers
	// model changes what the device describes, faults what it does; either may be nil.
	model  func(m *reader.Model)
	faults []reader.Fault
	// events runs during the visit, until done is closed.
	events func(d *reader.Device, done <-chan struct{})
	// directOnly excludes the device from machines whose firmware enumerates it: see badDescriptor.
	directOnly bool
	quick      bool // visited in a short run too
}

// always is a fault that strikes each time.
func always(at reader.Moment, do ...reader.Action) []reader.Fault {
	return []reader.Fault{{At: at, Times: reader.Forever, Do: do}}
}

// answers changes each answer.
func answers(do ...reader.Action) []reader.Fault { return always(reader.AtAnswer, do...) }

// after lets n events pass before a fault.
func after(n int, faults []reader.Fault) []reader.Fault {
	for i := range faults {
		faults[i].Skip = n
	}
	return faults
}

// at changes the answers to one command.
func at(command byte, do ...reader.Action) []reader.Fault {
	return []reader.Fault{{At: reader.AtAnswer, Command: command, Times: reader.Forever, Do: do}}
}

// class changes the class descriptor of the first reader.
func class(f func(c *reader.Class)) func(*reader.Model) {
	return func(m *reader.Model) { f(m.Functions[0].CCID) }
}

// swapping removes and inserts the card, with a pause between.
func swapping(pause time.Duration) func(d *reader.Device, done <-chan struct{}) {
	return func(d *reader.Device, done <-chan struct{}) {
		for {
			c, err := card.Named("t1")
			if err != nil {
				return
			}
			d.Reader(0).Remove(0)
			d.Reader(0).Insert(0, c)
			select {
			case <-done:
				return
			case <-time.After(pause):
			}
		}
	}
}

// flood puts n messages before each answer.
func flood(n int, message []byte) reader.Action {
	return func(e *reader.Event) {
		all := make([]reader.Answer, n, n+len(e.Answers))
		for i := range all {
			all[i].Bytes = message
		}
		e.Answers = append(all, e.Answers...)
	}
}

// toggling changes a byte in every second descriptor.
func toggling(kind uint8, at int, v byte) []reader.Fault {
	n := 0
	f := describe(kind, func(b []byte) []byte {
		if n++; n%2 == 0 {
			b[at] = v
		}
		return b
	})
	return []reader.Fault{f}
}

// text answers all requests for strings except for the one for the languages.
func text(units ...uint16) []reader.Fault {
	return []reader.Fault{{At: reader.AtControl, Times: reader.Forever,
		If: func(e *reader.Event) bool {
			return asks(usb.TypeString)(e) && e.Setup.Value&0xFF != 0
		}, Do: []reader.Action{func(e *reader.Event) {
			b := []byte{0, usb.TypeString}
			for len(b) < 254 {
				u := units[(len(b)/2-1)%len(units)]
				b = append(b, byte(u), byte(u>>8))
			}
			b[0] = byte(len(b))
			e.Reply = b
		}}}}
}

// hostiles are the devices that are neither in the catalogue of package reader nor in the tables of
// faults.
var hostiles = []hostile{
	// Silence.
	{name: "silent from the third command on", kind: "tpdu",
		faults: after(2, answers(reader.Lose()))},
	{name: "silent at power-on", kind: "short", faults: at(reader.IccPowerOn, reader.Lose())},
	{name: "silent at each block", kind: "tpdu",
		faults: at(reader.XfrBlock, reader.Lose()), quick: true},
	{name: "answers no control request", kind: "short",
		faults: always(reader.AtControl, reader.Block()), directOnly: true},
	{name: "answers no class request", kind: "manual", faults: []reader.Fault{{At: reader.AtControl,
		Times: reader.Forever,
		If:    func(e *reader.Event) bool { return e.Setup.RequestType&0x60 == usb.TypeClass },
		Do:    []reader.Action{reader.Block()}}}},
	{name: "an ICCD that is silent", kind: "iccd-b", faults: []reader.Fault{{At: reader.AtControl,
		Times: reader.Forever,
		If:    func(e *reader.Event) bool { return e.Setup.RequestType&0x60 == usb.TypeClass },
		Do:    []reader.Action{reader.Block()}}}},
	{name: "loses every second answer", kind: "tpdu", faults: []reader.Fault{
		{At: reader.AtAnswer, Skip: 1, Do: []reader.Action{reader.Lose()}},
		{At: reader.AtAnswer, Skip: 3, Do: []reader.Action{reader.Lose()}},
		{At: reader.AtAnswer, Skip: 5, Do: []reader.Action{reader.Lose()}},
		{At: reader.AtAnswer, Skip: 7, Do: []reader.Action{reader.Lose()}}}},
	// Slowness.
	{name: "every answer takes 900 ms", kind: "short",
		faults: answers(reader.Delay(900 * time.Millisecond)), quick: true},
	{name: "every answer takes 3,500 ms", kind: "short",
		faults: answers(reader.Delay(3500 * time.Millisecond))},
	{name: "time extensions of 255 times without end", kind: "tpdu",
		faults: at(reader.XfrBlock, reader.Extend(reader.Endless, 255, 500*time.Millisecond))},
	{name: "time extensions without pause", kind: "short",
		faults: at(reader.XfrBlock, reader.Extend(reader.Endless, 1, 0))},
	{name: "time extensions at power-on without end", kind: "short",
		faults: at(reader.IccPowerOn, reader.Extend(reader.Endless, 1, 100*time.Millisecond))},
	// Wrong answers.
	{name: "another slot's number in a reader with four", kind: "slots",
		faults: answers(reader.WrongSlot(3))},
	{name: "a reserved command status", kind: "short",
		faults: answers(reader.WrongStatus(0xC0, 0))},
	{name: "a reserved card status", kind: "short", faults: answers(reader.WrongStatus(0x03, 0))},
	{name: "every command fails", kind: "short", faults: answers(reader.WrongStatus(0x40, 0xFB))},
	{name: "messages of 2 GiB", kind: "tpdu", faults: answers(reader.WrongLength(0x80000000))},
	{name: "messages of 64 KB that are short", kind: "short",
		faults: answers(reader.WrongLength(0xFFFF))},
	{name: "messages without a header", kind: "short", faults: answers(reader.Truncate(4))},
	{name: "empty messages", kind: "short", faults: answers(reader.Truncate(0))},
	{name: "random bytes behind each message", kind: "short", faults: answers(reader.Pad(300))},
	{name: "an answer to reset of 400 bytes", kind: "short",
		faults: at(reader.IccPowerOn, reader.Payload(make([]byte, 240)))},
	{name: "an empty answer to reset", kind: "short",
		faults: at(reader.IccPowerOn, reader.Payload(nil))},
	{name: "an answer to reset of nothing but interface characters", kind: "tpdu",
		faults: at(reader.IccPowerOn,
			reader.Payload([]byte(strings.Repeat("\xFF", 33))))},
	{name: "blocks of nonsense", kind: "tpdu",
		faults: at(reader.XfrBlock, reader.Payload([]byte{0, 0xE1, 0, 0xE1})), quick: true},
	{name: "a card that asks for time without end at T=1", kind: "tpdu",
		faults: at(reader.XfrBlock, reader.Payload([]byte{0, 0xC3, 1, 255, 0xC3 ^ 1 ^ 255}))},
	{name: "empty blocks", kind: "tpdu", faults: at(reader.XfrBlock, reader.Payload(nil))},
	{name: "responses of one byte", kind: "short",
		faults: at(reader.XfrBlock, reader.Payload([]byte{0x90}))},
	{name: "responses that are longer than asked for", kind: "short",
		faults: at(reader.XfrBlock, reader.Payload(make([]byte, 261)))},
	{name: "61xx without end", kind: "short",
		faults: at(reader.XfrBlock, reader.Payload([]byte{0x61, 0x10}))},
	{name: "6Cxx without end", kind: "short",
		faults: at(reader.XfrBlock, reader.Payload([]byte{0x6C, 0x10}))},
	{name: "chains that never end", kind: "extended",
		faults: at(reader.XfrBlock, func(e *reader.Event) {
			if n := len(e.Answers); n > 0 && len(e.Answers[n-1].Bytes) >= 10 {
				// bChainParameter: begins and continues (CCID 1.1, 6.2.1)
				e.Answers[n-1].Bytes[9] = 1
			}
		}), quick: true},
	// Storms.
	{name: "1,000 stale answers before each", kind: "short",
		faults: answers(flood(1000, []byte{0x81, 0, 0, 0, 0, 0, 0xFE, 0, 0, 0})), quick: true},
	{name: "1,000 answers of another slot before each", kind: "slots",
		faults: answers(flood(1000, []byte{0x81, 0, 0, 0, 0, 1, 0xFE, 0, 0, 0}))},
	{name: "cards change as fast as they can", kind: "short",
		events: swapping(time.Millisecond), quick: true},
	{name: "cards of a reader that powers them itself change", kind: "short",
		model:  class(func(c *reader.Class) { c.Features |= reader.AutoActivation }),
		events: swapping(5 * time.Millisecond)},
	{name: "notifications of hardware errors and of nothing", kind: "short",
		faults: always(reader.AtNotify,
			reader.Edit(func([]byte) []byte { return []byte{0x51, 0, 0, 1, 0xFF, 0xFF} })),
		events: swapping(2 * time.Millisecond)},
	{name: "a card that is changed in each command", kind: "short",
		faults: always(reader.AtCommand, func(e *reader.Event) {
			if c, err := card.Named("t0"); err == nil {
				reader.Swap(c)(e)
			}
		})},
	{name: "a short circuit at each block", kind: "short", faults: []reader.Fault{
		{At: reader.AtCommand, Command: reader.XfrBlock, Times: reader.Forever,
			Do: []reader.Action{reader.PowerFail()}}}},
	{name: "leaves the bus at its first command", kind: "short", faults: []reader.Fault{
		{At: reader.AtCommand, Do: []reader.Action{reader.Unplug()}}}, quick: true},
	{name: "leaves the bus at its tenth command", kind: "tpdu", faults: []reader.Fault{
		{At: reader.AtCommand, Skip: 9, Do: []reader.Action{reader.Unplug()}}}},
	// Claims.
	{name: "32 slots, messages of 512 KB", kind: "high-speed", model: class(func(c *reader.Class) {
		c.MaxSlotIndex, c.MaxBusySlots, c.MaxMessageLength = 31, 32, 512<<10
	})},
	{name: "blocks of 4 GiB", kind: "tpdu",
		model: class(func(c *reader.Class) { c.MaxIFSD = 0xFFFFFFFF })},
	{name: "clocks of 4 THz", kind: "manual", model: class(func(c *reader.Class) {
		c.DefaultClock, c.MaximumClock, c.DataRate, c.MaxDataRate = 0xFFFFFFFF, 0xFFFFFFFF,
			0xFFFFFFFF, 0xFFFFFFFF
	})},
	{name: "all features at once", kind: "short",
		model: class(func(c *reader.Class) { c.Features = 0xFFFFFFFF })},
	{name: "no features, protocols or voltages", kind: "short", model: class(func(c *reader.Class) {
		c.Features, c.Protocols, c.VoltageSupport = 0, 0, 0
	})},
	{name: "names that run from right to left", kind: "short", faults: text(0x202E, 'x', 0xFEFF)},
	{name: "names of broken surrogates", kind: "short", faults: text(0xD800, 0xDFFF, 0xFFFF)},
	// Change.
	{name: "a configuration whose slots change", kind: "tpdu",
		faults: toggling(usb.TypeConfiguration, classPart+4, 200)},
	{name: "a configuration whose endpoints change", kind: "tpdu",
		faults: toggling(usb.TypeConfiguration, theEndpoint+2, 0x8F)},
	{name: "a device whose configurations change", kind: "tpdu",
		faults: toggling(usb.TypeDevice, configurations, 255)},
}

// quickKinds are the kinds in the catalogue that a short run visits.
var quickKinds = []string{"silent", "full", "endless-extensions", "wrong-type", "wrong-length",
	"stalls", "many-slots",
	"hostile-strings"}

// directKinds are the kinds of the catalogue that the firmware of Debian 12 (edk2-stable202211)
// does not survive, with no other driver loaded.
var directKinds = []string{
	// UsbBusDxe has room for 16 interfaces of a device (USB_MAX_INTERFACE) and writes beyond it. It
	// does not remove the device when it is unplugged.
	"many-functions",
	// UsbBusDxe reads the table of languages when it enumerates the device in a timer event, where
	// XhciDxe waits without an end: see badDescriptor.
	"silent-strings",
}

// catalogued are the hostile devices of package reader's catalogue, and hostiles.
func catalogued() (all []hostile) {
	for _, kind := range reader.Hostile() {
		all = append(all, hostile{
			name: kind, kind: kind,
			directOnly: slices.Contains(directKinds, kind),
			quick:      slices.Contains(quickKinds, kind),
		})
	}
	return append(all, hostiles...)
}

// allHostiles are these, those with bad descriptors, and those whose transfer faults do not end.
// claims is the number of the first ones, which include those that claim most memory.
func allHostiles() (all []hostile, claims int) {
	all = catalogued()
	claims = len(all)
	for i, l := range badDescriptorTable {
		all = append(all, hostile{name: l.name, kind: l.kind, faults: []reader.Fault{l.fault},
			directOnly: l.directOnly,
			quick:      !l.directOnly && i%5 == 1})
	}
	for i, m := range transferFaults {
		f := m.fault
		f.Times = reader.Forever
		all = append(all, hostile{name: m.name + ", without end", kind: m.kind,
			faults: []reader.Fault{f}, quick: i%7 == 1})
	}
	return all, claims
}

// A call of package sclib makes at most two calls of the protocol's members that a hostile device
// can delay. measured is the inaccuracy on a busy host (policy).
const (
	membersPerCall = 2
	measured       = 2 * time.Second
)

// A Scope selects hostile devices and how they are enumerated.
type Scope struct {
	// Firmware: firmware's USB stack enumerates the devices.
	Firmware bool
	// All: all devices are visited, not one of each sort.
	All bool
	// Bound is the longest that a member of the driver's protocol may take.
	Bound time.Duration
}

// TestHostile plugs one hostile device after another into a machine, makes each call of a program
// with it, and unplugs it. A good reader beside it must work after each device, no call may take
// longer than its bound, and in the end no more memory may be in use than after the first devices.
func TestHostile(t *testing.T, board Board, model harness.Controller, scope Scope) {
	harness.Require(t)
	l := &lab{board: board, model: model}
	defer l.end()
	var marks []mark
	visited := 0
	all, claims := allHostiles()
	for i, h := range all {
		if !scope.All && !h.quick || scope.Firmware && h.directOnly {
			continue
		}
		if visited == settled || i >= claims && len(marks) == 1 {
			l.run(t, trial{fmt.Sprintf("memory after %d devices", visited), func(s *stand) {
				marks = append(marks, mark{s.stats(), visited})
			}})
		}
		machine := l.machine
		l.run(t, trial{h.name, func(s *stand) { s.visit(h, scope.Bound) }})
		if visited++; l.machine == nil || l.machine != machine && machine != nil {
			marks, visited = nil, settled+1 // the machine is another one
		}
	}
	l.run(t, trial{"memory after all", func(s *stand) {
		now := mark{s.stats(), visited}
		for i, m := range marks {
			s.Logf("%v: %v after %d devices, %v after %d", m.grown(now), m.stats, m.visited,
				now.stats, now.visited)
			grown := m.grown(now) - pool
			if i == 0 {
				grown -= arenas
			}
			if grown > slack[free] {
				s.Errorf("%d pages more are in use", grown)
			}
			if more := now.stats["handles"] - m.stats["handles"]; more > 0 {
				s.Errorf("%d handles more are in use", more)
			}
		}
	}})
}

// Memory is measured after settled devices, when tables of the firmware have grown, and after those
// that claim most, when the heap of the driver has grown: Go's runtime keeps its arenas. arenas is
// how many pages that may be, two arenas of 2 MiB, and pool is the pages of the runtime's tables,
// which grow by 512 KiB at any time (policy).
const (
	settled = 6
	arenas  = 2 * (2 << 20) >> 12
	pool    = 512 << 10 >> 12
)

// A mark is how much memory is free after a number of devices.
type mark struct {
	stats   map[string]int
	visited int
}

// grown is by how many pages the memory in use has grown. Firmware keeps some memory for each
// device (edk2's XhciDxe does not free the configuration descriptors that it copies): a page for
// each does not count.
func (m mark) grown(later mark) int {
	return m.stats[free] - later.stats[free] - (later.visited - m.visited)
}

// visit makes the agent use a hostile device, and a good reader beside it and afterwards.
func (s *stand) visit(h hostile, bound time.Duration) {
	s.Helper()
	m, err := reader.Named(h.kind)
	s.must(err)
	if h.model != nil {
		h.model(&m)
	}
	d := s.model("hostile", m)
	d.Inject(h.faults...)
	s.plug("good", "2", s.device("good", "short"))
	s.do("await good")
	done := make(chan struct{})
	if h.events != nil {
		go h.events(d, done)
	}
	s.plug("hostile", "1", d)
	text := s.do("visit good")
	close(done)
	s.Logf("%.200s", text)
	var longest time.Duration
	for _, word := range strings.Fields(text) {
		if took, ok := strings.CutPrefix(word, "longest="); ok {
			longest, err = time.ParseDuration(took)
			s.must(err)
		}
	}
	if longest > membersPerCall*bound+measured {
		s.Errorf("a call took %v, and a member takes %v at most", longest, bound)
	}
	s.do("await good")
	s.unplug("hostile")
	s.expect("good")
}
