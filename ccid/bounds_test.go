package ccid_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/ccid"
	"tamaccid/ccid/scard"
	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
	"tamaccid/ccid/usb"
)

// grace is how long a call may go on after the end of its context: Timing.Cancel, and a request of
// a millisecond.
const grace = 110 * time.Millisecond

func ofClass(e *reader.Event) bool { return e.Setup.RequestType&0x60 == usb.TypeClass }

// ways are those in which a reader keeps a call from ending, from a moment on.
var ways = []struct {
	name   string
	bulk   bool // only with bulk endpoints
	faults []reader.Fault
}{
	{name: "no answer",
		faults: []reader.Fault{{At: reader.AtCommand, Do: []reader.Action{reader.Lose()}}}},
	{name: "no answer, and none to class requests", faults: []reader.Fault{
		{At: reader.AtCommand, Do: []reader.Action{reader.Lose()}},
		{At: reader.AtControl, If: ofClass, Do: []reader.Action{reader.Block()}}}},
	{name: "no answer to class requests",
		faults: []reader.Fault{{At: reader.AtControl, If: ofClass,
			Do: []reader.Action{reader.Block()}}}},
	{name: "no command is taken", bulk: true,
		faults: []reader.Fault{{At: reader.AtOut, Do: []reader.Action{reader.Block()}}}},
	{name: "every answer has the wrong type", bulk: true,
		faults: []reader.Fault{{At: reader.AtAnswer, Do: []reader.Action{reader.WrongType(0xEE)}}}},
	{name: "every answer has the wrong sequence number", bulk: true,
		faults: []reader.Fault{{At: reader.AtAnswer, Do: []reader.Action{reader.WrongSeq(1)}}}},
	{name: "every answer claims 4 GiB", bulk: true,
		faults: []reader.Fault{{At: reader.AtAnswer,
			Do: []reader.Action{reader.WrongLength(0xFFFFFFF0)}}}},
	{name: "every answer is a stall",
		faults: []reader.Fault{{At: reader.AtAnswer, Do: []reader.Action{reader.Stall()}}}},
	{name: "nothing but empty packets", bulk: true,
		faults: []reader.Fault{{At: reader.AtAnswer, Do: []reader.Action{reader.ZLPFirst(500)}}}},
	{name: "time extensions for a second",
		faults: []reader.Fault{{At: reader.AtAnswer,
			Do: []reader.Action{reader.Extend(100, 1, 10*time.Millisecond)}}}},
	{name: "always busy",
		faults: []reader.Fault{{At: reader.AtAnswer,
			Do: []reader.Action{reader.WrongStatus(0x40, 0xE0)}}}},
	{name: "answers after 10 s",
		faults: []reader.Fault{{At: reader.AtAnswer,
			Do: []reader.Action{reader.Delay(10 * time.Second)}}}},
}

// calls are those that make traffic.
var calls = []struct {
	name string
	do   func(ctx context.Context, s *ccid.Slot) error
}{
	{"State", func(ctx context.Context, s *ccid.Slot) error { _, err := s.State(ctx); return err }},
	{"Connect", func(ctx context.Context, s *ccid.Slot) error {
		_, err := s.Connect(ctx, ccid.T0|ccid.T1, ccid.ColdReset)
		return err
	}},
	{"WarmReset", func(ctx context.Context, s *ccid.Slot) error {
		_,
			err := s.WarmReset(ctx)
		return err
	}},
	{"Transmit", func(ctx context.Context, s *ccid.Slot) error {
		_, err := s.Transmit(ctx, []byte{0x80, 0x30, 0, 0}, make([]byte, 258))
		return err
	}},
	{"Disconnect",
		func(ctx context.Context, s *ccid.Slot) error { return s.Disconnect(ctx, ccid.Unpower) }},
	{"GetAttrib", func(ctx context.Context, s *ccid.Slot) error {
		_, err := s.GetAttrib(ctx, scard.AttrICCPresence)
		return err
	}},
}

// TestEveryCallEndsWithItsContext has each call end by its context, however the reader keeps it
// from ending, and with a slot that the call before has left out of step. The reader is usable
// afterwards.
func TestEveryCallEndsWithItsContext(t *testing.T) {
	const limit = 300 * time.Millisecond
	for _, k := range kinds {
		bulk := k.make().Functions[0].Protocol == reader.BulkCCID
		for _, w := range ways {
			if w.bulk && !bulk {
				continue
			}
			for _, c := range calls {
				name := fmt.Sprintf("%s, %s, %s", k.name, w.name, c.name)
				synctest.Test(t, func(t *testing.T) {
					d := reader.NewDevice(k.make())
					inside, err := card.Named(k.card)
					if err != nil {
						t.Fatal(err)
					}
					r, err := openSim(t, d, 0, inside, ccid.Options{})
					if err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					s := r.Slots()[0]
					if _, err := s.Connect(t.Context(), ccid.T0|ccid.T1,
						ccid.ColdReset); err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					for _, f := range w.faults {
						f.Times = reader.Forever
						d.Inject(f)
					}
					for _, round := range []string{"", ", again"} {
						for _, end := range []struct {
							name string
							ctx  func() (context.Context, context.CancelFunc)
						}{
							{"deadline", func() (context.Context,
								context.CancelFunc) {
								return context.WithTimeout(t.Context(), limit)
							}},
							{"cancelled", func() (context.Context, context.CancelFunc) {
								ctx, cancel := context.WithCancel(t.Context())
								time.AfterFunc(limit, cancel)
								return ctx, cancel
							}},
						} {
							ctx, cancel := end.ctx()
							started := time.Now()
							err := c.do(ctx, s)
							if took := time.Since(started); took > limit+grace {
								t.Errorf("%s, %s%s: %v after %v", name, end.name, round, err, took)
							}
							cancel()
							started = time.Now()
							_ = c.do(ctx, s)
							if took := time.Since(started); took > 0 {
								t.Errorf("%s, %s%s: a call with a context that has ended takes %v",
									name, end.name, round, took)
							}
						}
					}
					d.Heal()
					again, _ := card.Named(k.card)
					d.Reader(0).Insert(0, again)
					if err := session(s); err != nil {
						t.Errorf("%s: the next session: %v", name, err)
					}
				})
			}
		}
	}
}

// openable are the hostile readers that answer well enough to be opened.
var openable = []string{"busy", "endless-extensions", "hostile-strings", "hostile-strings-vendor",
	"many-functions", "many-rates", "many-slots",
	"silent-at-power-off", "silent-strings", "silent-tables", "huge-answers"}

// TestOpenEndsWithItsContext opens each hostile reader within a second, and without a limit of the
// caller's.
func TestOpenEndsWithItsContext(t *testing.T) {
	const ownBound = 10*time.Second + grace // Timing.Open
	for _, name := range append(reader.Hostile(), reader.Names()...) {
		for _, limit := range []time.Duration{0, 50 * time.Millisecond, time.Second} {
			synctest.Test(t, func(t *testing.T) {
				m, err := reader.Named(name)
				if err != nil {
					t.Fatal(err)
				}
				d := reader.NewDevice(m)
				tr, err := d.Open(d.Reader(0).Interface())
				if err != nil {
					t.Fatal(err)
				}
				ctx, bound := t.Context(), ownBound
				if limit > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, limit)
					defer cancel()
					bound = limit + grace
				}
				started := time.Now()
				r, err := ccid.Open(ctx, tr, ccid.Options{})
				if took := time.Since(started); took > bound {
					t.Errorf("%s within %v: %v after %v", name, limit, err, took)
				}
				if limit == 0 && err == nil != (slices.Contains(openable, name) ||
					slices.Contains(reader.Names(), name)) {
					t.Errorf("%s: %v", name, err)
				}
				if limit == 0 && errors.Is(err, context.DeadlineExceeded) &&
					!errors.Is(err, ccid.ErrTimeout) {
					t.Errorf("%s: a deadline that is not the caller's: %v", name, err)
				}
				if err != nil {
					return
				}
				defer r.Close()
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				for _, s := range r.Slots() {
					d.Reader(0).Insert(s.Index(), card.T1())
					_, _ = s.Connect(ctx, ccid.T0|ccid.T1, ccid.ColdReset)
					_, _ = s.Transmit(ctx, []byte{0x80, 0x30, 0, 0}, make([]byte, 258))
				}
				ctx, cancel = context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				started = time.Now()
				_ = r.Shutdown(ctx)
				if took := time.Since(started); took > time.Second {
					t.Errorf("%s: Shutdown within a second took %v", name, took)
				}
			})
		}
	}
}

// TestShutdownAsksASilentReaderOnce powers all slots of a reader that answers no IccPowerOff, and
// shuts it down.
func TestShutdownAsksASilentReaderOnce(t *testing.T) {
	for _, name := range []string{"silent-at-power-off", "slots"} {
		synctest.Test(t, func(t *testing.T) {
			m, err := reader.Named(name)
			if err != nil {
				t.Fatal(err)
			}
			m.Functions[0].CCID.MaxSlotIndex = 3
			d := reader.NewDevice(m)
			r, err := openSim(t, d, 0, card.T1(), ccid.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for i, s := range r.Slots() {
				d.Reader(0).Insert(i, card.T1())
				if _, err := s.PowerOn(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			asked := 0
			d.Inject(reader.Fault{At: reader.AtCommand, Times: reader.Forever,
				Do: []reader.Action{func(*reader.Event) { asked++ }}})
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			started := time.Now()
			if err := r.Shutdown(ctx); err != nil {
				t.Error(err)
			}
			switch took := time.Since(started); {
			case name == "slots" && (asked != 4 || d.Reader(0).Powered(0) ||
				d.Reader(0).Powered(3) || took > 0):
				t.Errorf("%s: %d commands in %v", name, asked, took)
			case name != "slots" && (asked != 1 || took > 500*time.Millisecond):
				t.Errorf("%s: %d commands in %v", name, asked, took)
			}
			if _, err := r.Slots()[0].State(t.Context()); !errors.Is(err, ccid.ErrClosed) {
				t.Error(err)
			}
		})
	}
}

// TestWhatAReaderTakesOfMemoryIsBounded uses every slot of readers that declare as much as the
// fields hold, or answer as long as they can.
func TestWhatAReaderTakesOfMemoryIsBounded(t *testing.T) {
	const bound = 512 << 10
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for _, c := range []struct {
		name    string
		edit    func(c *reader.Class)
		command []byte
	}{
		{"many-slots", func(*reader.Class) {}, []byte{0x80, 0x30, 0, 0}},
		{"many-slots",
			func(c *reader.Class) {
				c.Features = reader.New(reader.ExtendedAPDU).Functions[0].CCID.Features
			}, append([]byte{0x80, 0x12, 1, 0x80, 0, 0xFF, 0xFF}, counted(65535)...)},
		{"huge-answers", func(c *reader.Class) { c.MaxSlotIndex, c.MaxBusySlots = 255, 255 },
			[]byte{0x80, 0x30, 0, 0}},
	} {
		m, err := reader.Named(c.name)
		if err != nil {
			t.Fatal(err)
		}
		c.edit(m.Functions[0].CCID)
		d := reader.NewDevice(m)
		for i := range 256 {
			d.Reader(0).Insert(i, card.T1())
		}
		work := func() *ccid.Reader {
			r, err := openSim(t, d, 0, nil, ccid.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range r.Slots() {
				_, _ = s.Connect(t.Context(), ccid.T0|ccid.T1, ccid.ColdReset)
				_, _ = s.Transmit(t.Context(), c.command, make([]byte, 258))
				_, _ = s.State(t.Context())
			}
			return r
		}
		work().Close() // the virtual reader has its own buffers after that
		before := heap()
		r := work()
		if after := heap(); after > before+bound {
			t.Errorf("%s: %d slots took %d KiB", c.name, len(r.Slots()), (after-before)>>10)
		}
		if n := len(r.Slots()); n > 16 || r.Class().MaxSlotIndex != 255 {
			t.Errorf("%s: %d slots of %d are used", c.name, n, int(r.Class().MaxSlotIndex)+1)
		}
		r.Close()
	}
}

// TestLongAnswersOfSlotsThatWorkAtOnce has two slots read 64 KB at the same time, so that each
// finds the other's parts in the pipe.
func TestLongAnswersOfSlotsThatWorkAtOnce(t *testing.T) {
	for _, message := range []uint32{271, 1024, 65554} {
		synctest.Test(t, func(t *testing.T) {
			m := reader.New(reader.ExtendedAPDU)
			c := m.Functions[0].CCID
			c.MaxSlotIndex, c.MaxBusySlots, c.MaxMessageLength = 1, 2, message
			d := reader.NewDevice(m)
			d.Reader(0).Insert(1, card.T1())
			d.Inject(reader.Fault{At: reader.AtAnswer, Times: reader.Forever,
				Do: []reader.Action{reader.Delay(time.Millisecond)}})
			r, err := openSim(t, d, 0, card.T1(), ccid.Options{})
			if err != nil {
				t.Fatal(err)
			}
			answers := make([][]byte, 2)
			var work sync.WaitGroup
			for i, s := range r.Slots() {
				work.Go(func() {
					if _, err := s.Connect(t.Context(), ccid.T1, ccid.ColdReset); err != nil {
						t.Error(err)
						return
					}
					answers[i] = make([]byte, 65538)
					n, err := s.Transmit(t.Context(), []byte{0x80, 0, 4, 0x42, 0, 0xFF, 0xFF},
						answers[i])
					if err != nil || n != 65537 {
						t.Errorf("slot %d, messages of %d: %d bytes, %v", i, message, n, err)
					}
				})
			}
			work.Wait()
			if !bytes.Equal(answers[0], answers[1]) || answers[0][65535] != 0x90 ||
				bytes.Equal(answers[0][:65535], make([]byte, 65535)) {
				t.Errorf("messages of %d: the answers differ, or end with % X", message,
					answers[0][65535:])
			}
		})
	}
}
