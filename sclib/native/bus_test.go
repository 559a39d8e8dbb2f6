package native_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/baremetal/usbhost"
	"tamaccid/baremetal/usbhost/usbtest"
	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
	"tamaccid/ccid/usb"
	"tamaccid/sclib"
	"tamaccid/sclib/iso7816"
	"tamaccid/sclib/native"
)

// board returns the USB function of a board with one controller.
func board(c *usbtest.Controller) func(usbhost.Options) (*usbhost.Bus, error) {
	return func(o usbhost.Options) (*usbhost.Bus, error) {
		bus := usbhost.New(o)
		return bus, bus.Add(c)
	}
}

// withCard returns a reader with a card.
func withCard(t *testing.T) *reader.Device {
	t.Helper()
	chip, err := card.Named("t1")
	if err != nil {
		t.Fatal(err)
	}
	d := reader.NewDevice(reader.New(reader.TPDU))
	d.Reader(0).Insert(0, chip)
	return d
}

// hello selects the card's applet.
func hello(ctx context.Context, sc *sclib.Context) error {
	c, err := sc.Connect(ctx, name, sclib.ShareShared, sclib.ProtocolAny)
	if err != nil {
		return err
	}
	defer c.Disconnect(sclib.LeaveCard)
	command, err := iso7816.Select([]byte{0xA0, 0x00, 0x00, 0x00, 0x62, 0x03, 0x01, 0x0C, 0x06,
		0x01}).Bytes()
	if err != nil {
		return err
	}
	answer, err := c.Transmit(ctx, command)
	if err == nil && !slices.Equal(answer, []byte{0x90, 0x00}) {
		err = errors.New("another answer")
	}
	return err
}

func TestReadersArePluggedInAndUnplugged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := usbtest.New(usbtest.Model{USB2: 2})
		c.Plug(1, usbtest.Reader(withCard(t)))
		readers, err := native.New(native.Options{Start: board(c)})
		if err != nil {
			t.Fatal(err)
		}
		sc := sclib.New(readers)
		if err := hello(t.Context(), sc); err != nil {
			t.Error(err)
		}
		c.Unplug(1)
		time.Sleep(time.Second)
		if list, err := sc.ListReaders(t.Context()); !errors.Is(err, sclib.ErrNoReaders) {
			t.Errorf("after the unplugging: %q, %v", list, err)
		}
		c.Plug(2, usbtest.Reader(withCard(t)))
		time.Sleep(time.Second)
		if err := hello(t.Context(), sc); err != nil {
			t.Errorf("on another port: %v", err)
		}
		if err := sc.Release(); err != nil {
			t.Error(err)
		}
		if v := c.Violations(); len(v) > 0 || c.Slots() != 0 {
			t.Errorf("%d devices are left on the controller, violations %q", c.Slots(), v)
		}
	})
}

func TestABoardWithoutControllersIsAnError(t *testing.T) {
	none := errors.New("none")
	_, err := native.New(native.Options{
		Start: func(usbhost.Options) (*usbhost.Bus, error) { return nil, none },
	})
	if !errors.Is(err, none) {
		t.Errorf("error %v", err)
	}
}

func TestReadersThatCannotBeUsedAreReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := usbtest.New(usbtest.Model{USB2: 2})
		dead := usbtest.Gadget{At: usb.SpeedFull}
		c.Plug(1, &dead)
		c.Plug(2, usbtest.Reader(withCard(t)))
		var reports []string
		readers, err := native.New(native.Options{Start: board(c),
			Report: func(err error) { reports = append(reports, err.Error()) }})
		if err != nil {
			t.Fatal(err)
		}
		sc := sclib.New(readers)
		defer sc.Release()
		if len(reports) == 0 || !strings.Contains(strings.Join(reports, "\n"), "port 1: refused") {
			t.Errorf("reports %q", reports)
		}
		if err := hello(t.Context(), sc); err != nil {
			t.Errorf("the other reader: %v", err)
		}
	})
}

// TestTheConfigurationWithTheReaderIsSelected has a device with its reader in the second
// configuration. The device does not answer as a reader.
func TestTheConfigurationWithTheReaderIsSelected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := reader.New(reader.TPDU)
		storage := []byte{9, 2, 18, 0, 1, 1, 0, 0x80, 50, 9, 4, 0, 0, 0, 8, 6, 80, 0}
		second := m.ConfigDescriptor()
		second[5] = 2
		var selected []uint16
		c := usbtest.New(usbtest.Model{USB2: 1})
		c.Plug(1, &usbtest.Gadget{
			At:         usb.SpeedFull,
			Descriptor: []byte{18, 1, 0, 2, 0, 0, 0, 64, 0x09, 0x12, 1, 0, 0, 1, 0, 0, 0, 2},
			Configs:    [][]byte{storage, second},
			Answer: func(s usb.Setup) ([]byte, error, bool) {
				if s.Request == usb.RequestSetConfiguration {
					selected = append(selected, s.Value)
				}
				return nil, nil, false
			},
		})
		b, err := native.New(native.Options{Start: board(c)})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if !slices.Equal(selected, []uint16{2}) {
			t.Errorf("selected: %d, want 2", selected)
		}
	})
}
