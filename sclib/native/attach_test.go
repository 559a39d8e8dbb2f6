package native_test

import (
	"context"
	"errors"
	"testing"

	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
	"tamaccid/ccid/usb"
	"tamaccid/sclib"
	"tamaccid/sclib/native"
)

// port is an interface on a USB host of this test's own.
type port struct {
	device  *reader.Device
	refused error
	ready   chan struct{}
}

func (p *port) Device() *usb.Device {
	t, err := p.device.Open(0)
	if err != nil {
		panic(err)
	}
	return t.Device()
}

func (p *port) ClaimSetting(context.Context, uint8) (usb.Transport, error) {
	if p.refused != nil {
		return nil, p.refused
	}
	return p.device.Open(0)
}

func (p *port) Ready() { close(p.ready) }

// attach serves a device until the function that it returns is called, which gives Attach's error.
func attach(t *testing.T, b *native.Backend, p *port) (detach func() error) {
	t.Helper()
	p.ready = make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Attach(ctx, p) }()
	select {
	case <-p.ready:
	case err := <-ended:
		t.Fatalf("Attach returned: %v", err)
	}
	return func() error { cancel(); return <-ended }
}

func names(t *testing.T, sc *sclib.Context) []string {
	t.Helper()
	list, err := sc.ListReaders(t.Context())
	if err != nil && !errors.Is(err, sclib.ErrNoReaders) {
		t.Fatal(err)
	}
	return list
}

func TestAReaderThatIsAttachedIsThereUntilItsDeviceHasGone(t *testing.T) {
	b := backend(t)
	sc := sclib.New(b)
	defer sc.Release()
	chip, err := card.Named("t0")
	if err != nil {
		t.Fatal(err)
	}
	d := reader.NewDevice(reader.New(reader.TPDU))
	d.Reader(0).Insert(0, chip)
	detach := attach(t, b, &port{device: d})
	c, err := sc.Connect(t.Context(), name, sclib.ShareShared, sclib.ProtocolAny)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := sayHello(t.Context(), c); err != nil || text != "Hello world!" {
		t.Errorf("%q, %v", text, err)
	}
	if err := detach(); err != nil {
		t.Error(err)
	}
	if list := names(t, sc); len(list) != 0 {
		t.Errorf("readers that are left: %q", list)
	}
}

func TestReadersAreNumberedByTheLowestNumberThatIsFree(t *testing.T) {
	b := backend(t)
	sc := sclib.New(b)
	defer sc.Release()
	first := attach(t, b, &port{device: reader.NewDevice(reader.New(reader.TPDU))})
	second := attach(t, b, &port{device: reader.NewDevice(reader.New(reader.TPDU))})
	defer second()
	if err := first(); err != nil {
		t.Fatal(err)
	}
	again := attach(t, b, &port{device: reader.NewDevice(reader.New(reader.TPDU))})
	defer again()
	list := names(t, sc)
	if len(list) != 2 || list[0] == list[1] || (list[0] != name && list[1] != name) {
		t.Errorf("readers: %q", list)
	}
}

func TestAnInterfaceThatIsClaimedIsAnError(t *testing.T) {
	b := backend(t)
	defer b.Close()
	taken := errors.New("taken")
	d := reader.NewDevice(reader.New(reader.TPDU))
	want(t, b.Attach(t.Context(), &port{device: d, refused: taken}), taken)
}

// keyboard is an interface that is no reader's.
type keyboard struct{ t *testing.T }

func (k keyboard) Device() *usb.Device {
	return &usb.Device{Config: []byte{9, 2, 9, 0, 0, 1, 0, 0x80, 50}}
}
func (k keyboard) ClaimSetting(context.Context, uint8) (usb.Transport, error) {
	k.t.Error("a keyboard was claimed")
	return nil, errors.New("claimed")
}
func (k keyboard) Ready() {}

func TestWhatIsNoReaderIsLeftAlone(t *testing.T) {
	b := backend(t)
	defer b.Close()
	if err := b.Attach(t.Context(), keyboard{t}); err != nil {
		t.Error(err)
	}
}
