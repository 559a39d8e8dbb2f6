//go:build linux && !tamago

package efitest

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tamaccid/board/qemu/harness"
	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/sim/reader"
	"tamaccid/ccid/sim/usbredir"
	"tamaccid/ccid/usb"
)

// A fleetReader is a virtual reader of the fleet.
type fleetReader struct {
	name  string   // of the subtest
	kind  string   // in the catalogue of readers
	cards []string // of the catalogue of cards: one a slot, in the order of interfaces and slots
	bus   string   // empty: one of the xHCI controllers
}

const onEHCI = "ehci.0"

// fleet are readers of different kinds: exchange levels, protocols, ICCDs, slots, interfaces,
// endpoints, speeds, sizes.
var fleet = []fleetReader{
	{name: "character level, T=0", kind: "character", cards: []string{"t0"}},
	{name: "character level, T=1", kind: "character", cards: []string{"t1"}},
	{name: "TPDU level, T=0", kind: "tpdu", cards: []string{"t0"}},
	{name: "TPDU level, T=1", kind: "tpdu", cards: []string{"t1"}},
	{name: "TPDU level, T=1 with CRC", kind: "tpdu", cards: []string{"t1-crc"}},
	{name: "TPDU level, a card that asks for time and small blocks", kind: "tpdu",
		cards: []string{"t1-wtx"}},
	{name: "short APDU level, T=0", kind: "short", cards: []string{"t0"}},
	{name: "short APDU level, T=1", kind: "short", cards: []string{"t1"}},
	{name: "extended APDU level, T=0", kind: "extended", cards: []string{"t0"}},
	{name: "extended APDU level, T=1", kind: "extended", cards: []string{"t1"}},
	{name: "extended APDU level, chaining in messages of 64 bytes", kind: "tiny-messages",
		cards: []string{"t1"}},
	{name: "extended APDU level, high speed, messages of 64 KB", kind: "high-speed",
		cards: []string{"t1"}},
	{name: "extended APDU level, SuperSpeed", kind: "super-speed", cards: []string{"t1"}},
	{name: "ICCD version A", kind: "iccd-a", cards: []string{"t0"}},
	{name: "ICCD version B, short APDU level", kind: "iccd-b", cards: []string{"t1"}},
	{name: "ICCD version B, extended APDU level", kind: "iccd-b-extended", cards: []string{"t1"}},
	{name: "four slots", kind: "slots", cards: []string{"t0", "t1", "t0t1", "t1-specific"}},
	{name: "composite, two readers beside another interface", kind: "composite",
		cards: []string{"t1", "t0"}},
	{name: "PIN pad", kind: "pinpad", cards: []string{"t0"}},
	{name: "two endpoints", kind: "two-endpoints", cards: []string{"t1"}},
	{name: "class FF", kind: "vendor-class", cards: []string{"t0"}},
	{name: "alternate setting 1", kind: "alternate-setting", cards: []string{"t1"}},
	{name: "class descriptor behind an endpoint", kind: "behind-endpoint", cards: []string{"t1"}},
	{name: "nothing automatic", kind: "manual", cards: []string{"t0t1"}},
	{name: "data rates by command", kind: "data-rate-command", cards: []string{"t0t1"}},
	{name: "parameters negotiated by the reader", kind: "negotiates", cards: []string{"t0t1"}},
	{name: "no zero-length packets", kind: "no-zlp", cards: []string{"t1"}},
	{name: "full speed on UHCI", kind: "tpdu", cards: []string{"t1"}, bus: "uhci.0"},
	{name: "high speed on EHCI", kind: "high-speed", cards: []string{"t1"}, bus: onEHCI},
}

// rings is how many endpoints, control endpoints included, share an xHCI controller. With more the
// firmware of Debian 12 (edk2 2022.11) crashes: its driver searches 64 bytes where a transfer
// request has 16, and accesses memory that does not exist where a ring ends with its block of
// memory (tianocore/edk2 issue 10032).
const rings = 8

// product is the device's name, by which the test selects it.
func (v *fleetReader) product(i int) string { return fmt.Sprintf("%02d-%s", i, v.kind) }

// build creates the device with its cards.
func (v *fleetReader) build(t *testing.T, i int) *reader.Device {
	t.Helper()
	m, err := reader.Named(v.kind)
	must(t, err)
	m.Manufacturer, m.ProductName = "Virtual", v.product(i)
	d := reader.NewDevice(m)
	cards := v.cards
	for n := 0; d.Reader(n) != nil; n++ {
		for slot := range d.Reader(n).Slots() {
			c, err := card.Named(cards[0])
			must(t, err)
			d.Reader(n).Insert(slot, c)
			cards = cards[1:]
		}
	}
	return d
}

// launch serves the devices of readers and returns them, with QEMU's options for them.
func launch(t *testing.T, readers []fleetReader) (args []string, devices []*reader.Device) {
	t.Helper()
	args = []string{"-device", string(harness.UHCI) + ",id=uhci", "-device",
		string(harness.EHCI) + ",id=ehci"}
	dir, controllers, taken := t.TempDir(), 0, rings
	for i, v := range readers {
		d := v.build(t, i)
		devices = append(devices, d)
		path := filepath.Join(dir, fmt.Sprint(i))
		l, err := net.Listen("unix", path)
		must(t, err)
		go (&usbredir.Server{Device: d}).Listen(t.Context(), l)
		bus := v.bus
		if bus == "" {
			needs := endpoints(t, d)
			if taken += needs; taken > rings {
				taken = needs
				controllers++
				args = append(args, "-device",
					fmt.Sprintf("%s,id=xhci%d", harness.XHCI, controllers))
			}
			bus = fmt.Sprintf("xhci%d.0", controllers)
		}
		args = append(args, "-chardev", fmt.Sprintf("socket,id=link%d,path=%s", i, path),
			"-device", fmt.Sprintf("usb-redir,chardev=link%d,bus=%s", i, bus))
	}
	return args, devices
}

// endpoints counts a device's endpoints, the control endpoint included.
func endpoints(t *testing.T, d *reader.Device) int {
	t.Helper()
	interfaces, err := usb.Interfaces(d.Model().ConfigDescriptor())
	must(t, err)
	n := 1
	for _, f := range interfaces {
		n += len(f.Endpoints)
	}
	return n
}

// level is the exchange level of a device's first reader in its class descriptor.
func (v *fleetReader) level(t *testing.T) reader.Level {
	t.Helper()
	m, err := reader.Named(v.kind)
	must(t, err)
	for _, f := range m.Functions {
		switch {
		case f.CCID == nil:
		case f.Protocol == reader.ICCDB:
			return reader.ExtendedAPDU // all of them chain (ICCD 1.0, 7.2)
		default:
			return f.CCID.Level()
		}
	}
	t.Fatalf("%s has no reader", v.kind)
	return 0
}

// report is what the exchange test prints for a slot when all steps pass: the number of exchanges,
// and the steps that reader or card cannot do by their kind.
func report(level reader.Level, protocol string) []string {
	const short = "left out: the reader takes short APDUs only"
	switch {
	case level == reader.ShortAPDU:
		return []string{"Passed: 771 exchanges",
			"extended case 2, up to 65535                   " + short,
			"extended case 3, up to 65535                   " + short,
			"extended case 4, up to 65535 there and back    " + short, "3 steps left out"}
	case protocol == "T=0":
		return []string{"Passed: 787 exchanges",
			"the rest left out: T=0 has no Le above 256", "1 step left out",
			"extended case 4, up to 65535 there and back    ok, 7 exchanges"}
	}
	return []string{"Passed: 790 exchanges, 210356 bytes to the card, 207928 back\n"}
}

// TestFleet plugs all readers of the fleet into one machine, and runs the exchange test over each
// of them: all four cases of APDUs at all lengths from 0 to 256, and extended ones up to 64 KB
// where the level allows.
func TestFleet(t *testing.T) {
	t.Parallel()
	args, _ := launch(t, fleet)
	s := harness.NewSuite(t, harness.Config{Volume: volume, Args: args})
	s.Boot = func(ctx context.Context, sh *harness.Shell) error {
		_, err := sh.Load(ctx, driverImage)
		return err
	}
	for i, v := range fleet {
		if v.bus == onEHCI {
			s.Run(v.name, 5*time.Minute,
				func(t *testing.T, c *harness.Case) { tryQuickly(t, c, v.product(i)) })
			continue
		}
		s.Run(v.name, 2*time.Minute, func(t *testing.T, c *harness.Case) {
			r := c.Command("exchange.efi " + v.product(i))
			n := len(v.cards)
			end := fmt.Sprintf("%d readers: %d passed, 0 failed, 0 without a card", n, n)
			if n == 1 {
				end = "1 reader: 1 passed, 0 failed, 0 without a card"
			}
			if r.Status != 0 || !strings.Contains(r.Output, end) {
				t.Fatalf("status %#x\n%s", r.Status, r.Output)
			}
			sections := strings.Split(r.Output, "Reader:   ")[1:]
			if len(sections) != n {
				t.Fatalf("%d slots were tested, not %d\n%s", len(sections), n, r.Output)
			}
			for slot, section := range sections {
				_, protocol, _ := strings.Cut(section, "Card:     ")
				protocol = protocol[:min(len("T=0"), len(protocol))]
				for _, want := range report(v.level(t), protocol) {
					if !strings.Contains(section, want) {
						t.Errorf("slot %d, %s: no %q in\n%s", slot, protocol, want, section)
					}
				}
				if card := v.cards[slot]; n == 1 && card != "t0t1" &&
					!strings.HasPrefix(protocol, "T="+card[1:2]) {
					t.Errorf("card %s has protocol %q", card, protocol)
				}
			}
		})
	}
}

// tryQuickly runs the most important lengths of the exchange test, again when the host controller
// has stopped: QEMU's EHCI stops its asynchronous schedule while an interrupt on async advance is
// not acknowledged, edk2's driver waits 10 ms for one, and a busy host may take longer. Only a
// restart of the firmware's driver helps then.
func tryQuickly(t *testing.T, c *harness.Case, product string) {
	const tries = 3
	for range tries {
		r := c.Command("exchange.efi -quick " + product)
		if r.Status == 0 && strings.Contains(r.Output,
			"1 reader: 1 passed, 0 failed, 0 without a card") {
			return
		}
		t.Logf("status %#x\n%s", r.Status, r.Output)
		c.Command("reconnect -r")
	}
	t.Errorf("it failed %d times", tries)
}
