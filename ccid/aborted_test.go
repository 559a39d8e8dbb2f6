package ccid_test

import (
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/ccid"
	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
	"tamaccid/ccid/usb"
)

// TestAnAbortOfAnotherDriverIsFinished opens a reader that has had the control request of an abort
// sequence and not its message (CCID 1.1, 5.3.1), as a driver leaves it that has abandoned the
// sequence: it answers every command with CMD_ABORTED until the message.
func TestAnAbortOfAnotherDriverIsFinished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := reader.New(reader.ExtendedAPDU)
		m.Functions[0].CCID.MaxSlotIndex = 1
		d := reader.NewDevice(m)
		tr, err := d.Open(0)
		if err != nil {
			t.Fatal(err)
		}
		for slot := range d.Reader(0).Slots() {
			d.Reader(0).Insert(slot, card.T1())
			const abort, sequence = 1, 77
			setup := usb.Setup{RequestType: usb.DirOut | usb.TypeClass | usb.ToInterface,
				Request: abort, Value: sequence<<8 | uint16(slot)}
			if _, err := tr.Control(t.Context(), setup, nil, time.Second); err != nil {
				t.Fatal(err)
			}
		}
		r, err := ccid.Open(t.Context(), tr, ccid.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for i, s := range r.Slots() {
			if _, err := s.Connect(t.Context(), ccid.T1, ccid.ColdReset); err != nil {
				t.Errorf("slot %d: %v", i, err)
			}
		}
	})
}
