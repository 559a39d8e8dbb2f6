package ccid_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/ccid"
	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
	"tamaccid/ccid/usb"
)

// named is an applet that answers every command with one byte, which distinguishes cards.
type named byte

func (named) AID() []byte                      { return []byte{0xA0, 0, 0, 0, 1} }
func (named) Takes(_, _ byte) (takes, ok bool) { return false, true }
func (n named) Process(_ *card.Command, out []byte) ([]byte, uint16, time.Duration) {
	return append(out, byte(n)), 0x9000, 0
}

// chip is a card whose answers and whose answer to reset end with its name.
func chip(name byte) card.Card {
	return card.New(card.Options{ATR: []byte{0x3B, 0x01, name},
		Applets: []card.Applet{named(name)}})
}

// How notifications get to the class driver. The reader's bInterval is 16 ms.
const (
	byFirmware = "polled by firmware"
	byListener = "read all the time"
	byLooks    = "looked for by State and Connect"

	interruptIn = 0x82
	interval    = 16 * time.Millisecond
	tick        = 10 * time.Millisecond
	delay       = 100 * time.Millisecond // of firmware, the argument of Polled
	// longest is how long after a change any of them has delivered the notification.
	longest = interval + 30*time.Millisecond + delay
)

// paced reads the interrupt endpoint at its interval only, as a host controller does.
type paced struct {
	usb.Transport
	first time.Time
}

func (p paced) In(ctx context.Context, endpoint uint8, buf []byte, timeout time.Duration) (int,
	error) {
	if endpoint != interruptIn || timeout != 0 {
		return p.Transport.In(ctx, endpoint, buf, timeout)
	}
	for {
		wait := time.NewTimer(interval - time.Since(p.first)%interval)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return 0, ctx.Err()
		}
		if n, err := p.Transport.In(ctx, endpoint, buf, time.Nanosecond); !errors.Is(err,
			usb.ErrTimeout) {
			return n, err
		}
	}
}

// A bench is a reader in use: a session after another, each until an exchange fails.
type bench struct {
	*testing.T
	device *reader.Device
	poller *reader.Poller // nil where firmware does not poll
	r      *ccid.Reader
	slot   *ccid.Slot
	auto   bool
	how    string
	slots  int    // 0 is one
	more   uint32 // features

	changed time.Time // when the card was changed last
	lost    []error   // what the exchanges failed with
	// answers of another card than the session's, later than its notification could be
	wrong int
}

// start opens the reader, with the card in it unless that is nil.
func (b *bench) start(c card.Card, phase time.Duration) {
	b.Helper()
	m := reader.New(reader.ShortAPDU)
	m.Functions[0].CCID.Features |= reader.AutoVoltage | b.more
	if b.auto {
		m.Functions[0].CCID.Features |= reader.AutoActivation
	}
	m.Functions[0].CCID.MaxSlotIndex = byte(max(b.slots, 1) - 1)
	b.device = reader.NewDevice(m)
	if c != nil {
		b.device.Reader(0).Insert(0, c)
	}
	t, err := b.device.Open(0)
	if err != nil {
		b.Fatal(err)
	}
	o := ccid.Options{Notifications: b.how == byListener}
	if b.how == byListener {
		t = paced{t, time.Now().Add(phase - interval)}
	}
	if b.how == byLooks {
		o.CheckNotifications = interval
	}
	if b.r, err = ccid.Open(b.Context(), t, o); err != nil {
		b.Fatal(err)
	}
	b.slot = b.r.Slots()[0]
	if b.how == byFirmware {
		b.poller = b.device.Reader(0).Poll(b.Context(), phase, interval, tick)
		b.r.Polled(b.take, delay)
	}
}

// take is what the driver does first in each member of its protocol.
func (b *bench) take() {
	if b.poller != nil {
		b.poller.Take(b.r.Deliver)
	}
}

// insert may run beside use: what it writes is written before the reader has the card.
func (b *bench) insert(c card.Card) {
	b.changed = time.Now()
	b.device.Reader(0).Insert(0, c)
}

func (b *bench) remove() { b.insert(nil) }

// state asks for it.
func (b *bench) state(want ccid.State) {
	b.Helper()
	b.take()
	if got, err := b.slot.State(b.Context()); got != want || err != nil {
		b.Errorf("%v, %v, want %v", got, err, want)
	}
}

// connect tries until there is a card, or 100 ms have passed.
func (b *bench) connect() error {
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		b.take()
		_, err := b.slot.Connect(b.Context(), ccid.T0, ccid.ColdReset)
		if err == nil || time.Since(began) > 100*time.Millisecond {
			return err
		}
	}
}

// use sends an APDU each 3 ms for that long. A session that ends is followed by another one.
func (b *bench) use(d time.Duration) {
	b.Helper()
	var answer [258]byte
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(3 * time.Millisecond) {
		b.take()
		atr := b.slot.ATR()
		n, err := b.slot.Transmit(b.Context(), []byte{0, 0, 0, 0}, answer[:])
		switch {
		case err != nil:
			b.lost = append(b.lost, err)
			if b.connect() != nil {
				return
			}
		case n != 3 || answer[0] != atr[2]:
			if time.Since(b.changed) > longest {
				b.wrong++
			}
		}
	}
}

// inject changes the card in the middle of the next command of that type.
func (b *bench) inject(at reader.Moment, command byte, c card.Card) {
	b.device.Inject(reader.Fault{At: at, Command: command,
		Do: []reader.Action{reader.Swap(c), func(*reader.Event) { b.changed = time.Now() }}})
}

// TestSessionsEndWithTheirCardOnly: a notification ends a session if it reports that the session's
// card has gone, and not if it reports, late, how that card came.
func TestSessionsEndWithTheirCardOnly(t *testing.T) {
	const long = 400 * time.Millisecond // after it no notification is on its way
	type moment struct {
		name    string
		at      reader.Moment
		command byte
	}
	moments := []moment{
		{"at IccPowerOff", reader.AtCommand, reader.IccPowerOff},
		{"after IccPowerOff", reader.AtAnswer, reader.IccPowerOff},
		{"at IccPowerOn", reader.AtCommand, reader.IccPowerOn},
		{"after IccPowerOn", reader.AtAnswer, reader.IccPowerOn},
		{"at SetParameters", reader.AtCommand, reader.SetParameters},
		{"after SetParameters", reader.AtAnswer, reader.SetParameters},
	}
	type scene struct {
		name        string
		play        func(b *bench, phase time.Duration)
		least, most int   // sessions that end
		last        error // what the first one ended with, if that matters
	}
	// connected is the beginning of a scene in which the first card is in use, and nothing is
	// expected.
	connected := func(b *bench, phase time.Duration) {
		b.start(chip('A'), phase)
		if err := b.connect(); err != nil {
			b.Fatal(err)
		}
		b.use(long)
		if len(b.lost) > 0 {
			b.Fatalf("before anything happens: %v", b.lost)
		}
	}
	scenes := []scene{
		{name: "the card was there before Open", play: func(b *bench, phase time.Duration) {
			b.start(chip('A'), phase)
			b.connect()
			b.use(long)
		}},
		{name: "the card was there before Open, and is used later",
			play: func(b *bench, phase time.Duration) {
				b.start(chip('A'), phase)
				time.Sleep(long)
				b.connect()
				b.use(long)
			}},
		{name: "a card comes, and is used at once", play: func(b *bench, phase time.Duration) {
			b.start(nil, 0)
			time.Sleep(long + phase)
			b.insert(chip('A'))
			b.connect()
			b.use(long)
		}},
		{name: "a card comes, is seen, and is used at once",
			play: func(b *bench, phase time.Duration) {
				b.start(nil, 0)
				time.Sleep(long + phase)
				b.insert(chip('A'))
				if b.how != byListener {
					state := ccid.Inactive
					if b.auto {
						state = ccid.Active
					}
					b.state(state)
				}
				b.connect()
				b.use(long)
			}},
		{name: "a card comes while the application tries to connect",
			play: func(b *bench, phase time.Duration) {
				b.start(nil, 0)
				time.Sleep(long)
				time.AfterFunc(phase, func() { b.insert(chip('A')) })
				b.connect()
				b.use(long)
			}},
		// Connect is called by a function that firmware's timer has called, which stands still then
		// (OVMF).
		{name: "a card comes, and is used at once by an event",
			play: func(b *bench, phase time.Duration) {
				if b.how != byFirmware {
					return
				}
				b.start(nil, 0)
				time.Sleep(long + phase)
				b.insert(chip('A'))
				b.poller.Hold()
				b.connect()
				b.poller.Release()
				b.use(long)
			}},
		{name: "a card goes and comes back, and is used at once by an event",
			play: func(b *bench, phase time.Duration) {
				if b.how != byFirmware {
					return
				}
				connected(b, phase)
				b.poller.Hold()
				b.remove()
				b.state(ccid.Absent)
				time.Sleep(2 * interval)
				b.insert(chip('B'))
				b.connect()
				b.poller.Release()
				b.use(long)
			}},
		{name: "another card comes just before a Connect that takes long",
			play: func(b *bench, phase time.Duration) {
				connected(b, phase)
				b.device.Inject(reader.Fault{At: reader.AtAnswer, Command: reader.IccPowerOn,
					Do: []reader.Action{reader.Delay(longest)}})
				b.remove()
				time.Sleep(5 * time.Millisecond)
				b.insert(chip('B'))
				b.connect()
				b.use(long)
			}},
		{name: "the card goes in a Connect that takes long and ends with IccPowerOn",
			play: func(b *bench, phase time.Duration) {
				b.more = reader.AutoNegotiation
				connected(b, phase)
				b.inject(reader.AtAnswer, reader.IccPowerOn, nil)
				b.device.Inject(reader.Fault{At: reader.AtAnswer, Command: reader.IccPowerOn,
					Do: []reader.Action{reader.Delay(longest)}})
				if err := b.connect(); !errors.Is(err, ccid.ErrNoCard) {
					b.Error(err)
				}
			}},
		{name: "a card goes", least: 1, most: 1, last: ccid.ErrNoCard,
			play: func(b *bench, phase time.Duration) {
				connected(b, phase)
				b.remove()
				b.use(long)
			}},
		{name: "a card goes between two sessions", play: func(b *bench, phase time.Duration) {
			connected(b, phase)
			b.remove()
			if err := b.connect(); !errors.Is(err, ccid.ErrNoCard) {
				b.Error(err)
			}
		}},
		{name: "another card comes between two exchanges", least: 1, most: 1,
			play: func(b *bench, phase time.Duration) {
				connected(b, phase)
				b.insert(chip('B'))
				b.use(long)
			}},
		{name: "another card comes while no application calls", least: 1, most: 1,
			play: func(b *bench, phase time.Duration) {
				connected(b, phase)
				b.remove()
				time.Sleep(3 * interval)
				b.insert(chip('B'))
				time.Sleep(long)
				b.use(long)
			}},
		{name: "the notification is not followed by anything",
			play: func(b *bench, phase time.Duration) {
				connected(b, phase)
				b.device.Reader(0).Notify([]byte{0x50, 0x01})
				b.use(long)
			}},
		// Removal and insertion between two notifications, before a session that begins at once: no
		// answer shows them. Where the reader powers cards by itself, this may end the session.
		{name: "another card comes just before Connect", most: 1,
			play: func(b *bench, phase time.Duration) {
				connected(b, phase)
				b.insert(chip('B'))
				b.connect()
				b.use(long)
			}},
	}
	// A removal that an answer shows, and an insertion later: two notifications, or one.
	for _, gap := range []time.Duration{1, 4, 9, 14, 20, 40, 200} {
		gap *= time.Millisecond
		scenes = append(scenes,
			scene{name: fmt.Sprintf("a card goes, is seen to have gone, and another one comes "+
				"after %v", gap),
				least: 1, most: 1, last: ccid.ErrNoCard, play: func(b *bench, phase time.Duration) {
					connected(b, phase)
					b.remove()
					time.AfterFunc(gap, func() { b.insert(chip('B')) })
					b.use(long)
					if b.r.Slots()[0].ATR() == nil {
						b.connect()
						b.use(long)
					}
				}})
	}
	for _, m := range moments {
		if m.command != reader.SetParameters { // an empty slot gets none
			scenes = append(scenes, scene{name: "a card comes " + m.name + " of a Connect",
				play: func(b *bench, phase time.Duration) {
					b.start(nil, 0)
					time.Sleep(long + phase)
					b.inject(m.at, m.command, chip('A'))
					b.connect()
					b.use(long)
				}})
		}
		scenes = append(scenes,
			scene{name: "another card comes " + m.name + " of a Connect", most: 1,
				play: func(b *bench, phase time.Duration) {
					connected(b, phase)
					b.inject(m.at, m.command, chip('B'))
					b.connect()
					b.use(long)
				}},
			scene{name: "the card goes " + m.name + " of a Connect", most: 1, last: ccid.ErrNoCard,
				play: func(b *bench, phase time.Duration) {
					connected(b, phase)
					b.inject(m.at, m.command, nil)
					b.connect()
					b.use(long)
				}})
	}
	// within the time of a notification, and beyond it
	for _, after := range []time.Duration{0, 3, 8, 16, 30, 100} {
		after *= time.Millisecond
		another := func(b *bench) {
			b.connect()
			b.use(after)
			b.insert(chip('B'))
			b.use(long)
		}
		scenes = append(scenes,
			scene{name: fmt.Sprintf("another card comes %v after Connect", after), least: 1,
				most: 1, play: func(b *bench, phase time.Duration) {
					b.start(chip('A'), phase)
					another(b)
				}},
			scene{name: fmt.Sprintf("a card comes, and another one %v after Connect", after),
				least: 1, most: 1, play: func(b *bench, phase time.Duration) {
					b.start(nil, phase)
					time.Sleep(long)
					b.insert(chip('A'))
					another(b)
				}},
			scene{name: fmt.Sprintf("a card comes at IccPowerOn, and another one %v after Connect",
				after), least: 1, most: 1, play: func(b *bench, phase time.Duration) {
				b.start(nil, phase)
				time.Sleep(long)
				b.inject(reader.AtCommand, reader.IccPowerOn, chip('A'))
				another(b)
			}})
	}
	for _, auto := range []bool{true, false} {
		for _, how := range []string{byFirmware, byListener, byLooks} {
			for _, c := range scenes {
				name := fmt.Sprintf("%s/%s", c.name, how)
				if auto {
					name += ", the reader powers cards"
				}
				t.Run(name, func(t *testing.T) {
					for phase := time.Duration(0); phase < interval; phase += 4 * time.Millisecond {
						synctest.Test(t, func(t *testing.T) {
							b := &bench{T: t, auto: auto, how: how}
							c.play(b, phase)
							least, most := c.least, c.most
							if how == byLooks && auto {
								// State and Connect look for notifications, Transmit does not
								least = 0
							}
							if n := len(b.lost); n < least || n > most || n > 0 && c.last != nil &&
								!errors.Is(b.lost[0], c.last) {
								t.Errorf("phase %v: %d sessions ended: %v", phase, n, b.lost)
							}
							if b.wrong > 0 && how != byLooks {
								t.Errorf("phase %v: %d answers of another card than the session's",
									phase, b.wrong)
							}
							if b.r != nil {
								b.r.Close()
							}
						})
					}
				})
			}
		}
	}
}

// TestCardsOfOtherSlots: a notification reports the state of each slot of the reader. Cards come
// and go in the others while one is in use.
func TestCardsOfOtherSlots(t *testing.T) {
	for _, auto := range []bool{true, false} {
		for _, how := range []string{byFirmware, byListener} {
			t.Run(fmt.Sprintf("%s, the reader powers cards: %v", how, auto), func(t *testing.T) {
				for phase := time.Duration(0); phase < interval; phase += 4 * time.Millisecond {
					synctest.Test(t, func(t *testing.T) {
						b := &bench{T: t, auto: auto, how: how, slots: 3}
						b.start(chip('A'), phase)
						if err := b.connect(); err != nil {
							t.Fatal(err)
						}
						b.use(time.Second)
						for i := range 12 {
							slot := 1 + i%2
							b.device.Reader(0).Insert(slot, chip('X'))
							b.use(time.Duration(i) * 5 * time.Millisecond)
							if i%4 < 2 { // used at once, or not at all
								b.take()
								s := b.r.Slots()[slot]
								var answer [258]byte
								if _, err := s.Connect(t.Context(), ccid.T0,
									ccid.ColdReset); err != nil {
									t.Fatalf("slot %d: %v", slot, err)
								}
								for range 100 {
									b.take()
									if n, err := s.Transmit(t.Context(), []byte{0, 0, 0, 0},
										answer[:]); err != nil || n != 3 {
										t.Fatalf("slot %d: %v", slot, err)
									}
									b.use(3 * time.Millisecond)
								}
							}
							b.device.Reader(0).Remove(slot)
							b.use(time.Duration(i) * 5 * time.Millisecond)
						}
						if len(b.lost) > 0 || b.wrong > 0 {
							t.Errorf("phase %v: %v", phase, b.lost)
						}
						b.r.Close()
					})
				}
			})
		}
	}
}
