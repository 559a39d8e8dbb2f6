package reader

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/ccid/sim/card"
	"tamaccid/ccid/usb"
)

// host sends bytes and compares the answers.
type host struct {
	t    *testing.T
	d    *Device
	link usb.Transport
	e    endpoints
}

func attach(t *testing.T, m Model, cards ...card.Card) *host {
	t.Helper()
	d := NewDevice(m)
	for i, c := range cards {
		d.Reader(0).Insert(i, c)
	}
	link, err := d.Open(d.Reader(0).Interface())
	if err != nil {
		t.Fatal(err)
	}
	return &host{t: t, d: d, link: link, e: m.endpoints(d.Reader(0).Interface())}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return b
}

const soon = 20 * time.Millisecond

// play executes a transcript, one line after the other:
//
//	> HEX    a message to the reader
//	< HEX    the next transfer from the reader; none without HEX, a stall with "!"
//	i HEX    the next transfer from the interrupt endpoint
//	c HEX    a control request, as its setup packet and data
//	= HEX    its answer; a stall with "!"
//	h        clear the halt of bulk IN
//	r        remove the card from slot 0
//	u        unplug the device
//	x        expect an unplugged device
//	# TEXT   a comment
func (h *host) play(text string) {
	h.t.Helper()
	ctx := context.Background()
	buf := make([]byte, 66560-66560%int(h.d.model.packetSize()))[:min(maxIn,
		66560-66560%int(h.d.model.packetSize()))]
	var reply []byte
	var replied error
	for n, line := range strings.Split(strings.TrimSpace(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		arg := strings.TrimSpace(line[1:])
		compare := func(got []byte, err error) {
			h.t.Helper()
			switch {
			case arg == "!" && errors.Is(err, usb.ErrStall), arg == "" &&
				errors.Is(err, usb.ErrTimeout) && len(got) == 0:
			case err != nil:
				h.t.Fatalf("line %d (%s): %v", n, line, err)
			case hex.EncodeToString(got) != strings.ToLower(strings.Join(strings.Fields(arg), "")):
				h.t.Fatalf("line %d: got      % X\n         expected %s", n, got, arg)
			}
		}
		switch line[0] {
		case '>':
			if _, err := h.link.Out(ctx, h.e.out, unhex(h.t, arg), soon); err != nil {
				h.t.Fatalf("line %d (%s): %v", n, line, err)
			}
		case '<':
			k, err := h.link.In(ctx, h.e.in, buf, soon)
			compare(buf[:k], err)
		case 'i':
			var b [interruptPacket]byte
			k, err := h.link.In(ctx, h.e.interrupt, b[:], soon)
			compare(b[:k], err)
		case 'c':
			raw := unhex(h.t, arg)
			setup := usb.ParseSetup([8]byte(raw[:8]))
			data := make([]byte, setup.Length)
			if !setup.In() {
				copy(data, raw[8:])
			}
			k, err := h.link.Control(ctx, setup, data, soon)
			reply, replied = data[:k], err
			if !setup.In() && err == nil {
				reply = nil
			}
		case '=':
			compare(reply, replied)
		case 'h':
			if err := h.link.ClearHalt(ctx, h.e.in); err != nil {
				h.t.Fatalf("line %d: %v", n, err)
			}
		case 'r':
			h.d.Reader(0).Remove(0)
		case 'u':
			h.d.Unplug()
		case 'x':
			if _, err := h.link.In(ctx, h.e.in, buf, soon); !errors.Is(err, usb.ErrGone) {
				h.t.Fatalf("line %d: %v", n, err)
			}
		default:
			h.t.Fatalf("line %d of the transcript: %q", n, line)
		}
	}
}

const (
	powerOnT0 = `
		> 62 00000000 00 01 00 0000
		< 80 0A000000 00 01 00 00 00 3B08 74616D6163636964
	`
	powerOnT1 = `
		> 62 00000000 00 01 00 0000
		< 80 0F000000 00 01 00 00 00 3B88 8131FE45 74616D6163636964 97
	`
)

func TestReaderAtEachLevel(t *testing.T) {
	for _, tt := range []struct {
		name  string
		level Level
		card  card.Card
		text  string
	}{
		{name: "TPDU T=0", level: TPDU, card: card.T0(), text: powerOnT0 + `
			> 6F 0F000000 00 02 00 0000 00A404000A A000000062 03010C0601
			< 80 02000000 00 02 00 00 00 9000
			> 6F 05000000 00 03 00 0000 0000000000
			< 80 02000000 00 03 00 00 00 610C
			> 6F 05000000 00 04 00 0000 00C000000C
			< 80 0E000000 00 04 00 00 00 48656C6C6F20776F726C6421 9000`},
		{name: "TPDU T=1", level: TPDU, card: card.T1(), text: powerOnT1 + `
			> 61 07000000 00 02 01 0000 11 10 00 45 00 FE 00
			< 82 07000000 00 02 00 00 01 11 10 00 45 00 FE 00
			> 6F 05000000 00 03 00 0000 00C101FE3E
			< 80 05000000 00 03 00 00 00 00E101FE1E
			> 6F 08000000 00 04 00 0000 00000480300000B4
			< 80 06000000 00 04 00 00 00 000002900092`},
		{name: "short APDU, T=0 card: the reader sends GET RESPONSE", level: ShortAPDU,
			card: card.T0(), text: powerOnT0 + `
			> 6F 0F000000 00 02 00 0000 00A404000A A000000062 03010C0601
			< 80 02000000 00 02 00 00 00 9000
			> 6F 05000000 00 03 00 0000 0000000000
			< 80 0E000000 00 03 00 00 00 48656C6C6F20776F726C6421 9000`},
		{name: "short APDU, T=1 card", level: ShortAPDU, card: card.T1(), text: powerOnT1 + `
			> 6F 0F000000 00 02 00 0000 00A404000A A000000062 03010C0601
			< 80 02000000 00 02 00 00 00 9000
			> 6F 04000000 00 03 00 0000 00000000
			< 80 0E000000 00 03 00 00 00 48656C6C6F20776F726C6421 9000`},
		{name: "character level, T=0: the host handles procedure bytes", level: Character,
			card: card.T0(), text: powerOnT0 + `
			> 6F 05000000 00 02 00 0100 00A4040006
			< 80 01000000 00 02 00 00 00 A4
			> 6F 06000000 00 03 00 0200 A000000018FF
			< 80 02000000 00 03 00 00 00 9000
			> 6F 05000000 00 04 00 0100 8034000303
			< 80 01000000 00 04 00 00 00 34
			> 6F 00000000 00 05 00 0500
			< 80 05000000 00 05 00 00 00 0001029000
			> 6F 00000000 00 06 00 0100
			< 80 00000000 00 06 40 FE 00`},
		{name: "extended APDU with chaining in both directions", level: ExtendedAPDU,
			card: card.T1(), text: powerOnT1 + `
			> 6F 05000000 00 02 00 0100 80EE000000
			< 80 00000000 00 02 00 00 10
			> 6F 02000000 00 03 00 0300 0003
			< 80 00000000 00 03 00 00 10
			> 6F 05000000 00 04 00 0200 0102030000
			< 80 02000000 00 04 00 00 00 6D00
			> 6F 07000000 00 05 00 0000 80000442000200
			< 80 05010000 00 05 00 00 01 ` + strings.Repeat("42", 261) + `
			> 6F 00000000 00 06 00 1000
			< 80 FD000000 00 06 00 00 02 ` + strings.Repeat("42", 251) + `9000
			> 6F 00000000 00 07 00 1000
			< 80 00000000 00 07 40 08 00
			> 6F 01000000 00 08 00 0300 00
			< 80 00000000 00 08 40 08 00`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { attach(t, New(tt.level), tt.card).play(tt.text) })
		})
	}
}

func TestReaderRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attach(t, New(TPDU), card.T0()).play(`
		i 50 03
		# an unknown slot, an unknown command, an APDU for a card without power
		> 65 00000000 01 01 00 0000
		< 81 00000000 01 01 42 05 00
		> 66 00000000 00 02 00 0000
		< 81 00000000 00 02 41 00 00
		> 6F 05000000 00 03 00 0000 8030000000
		< 80 00000000 00 03 41 FE 00
		# an unknown voltage, more bytes than dwLength, fewer, a too great dwLength
		> 62 00000000 00 04 04 0000
		< 80 00000000 00 04 41 07 00
		> 65 00000000 00 05 00 0000 00
		< 81 00000000 00 05 41 01 00
		> 65 05000000 00 06 00 0000 00
		< 81 00000000 00 06 41 01 00
		> 6F 00000080 00 07 00 0000 00
		< 80 00000000 00 07 41 01 00
		> 65 00000000 00 08 00 0000
		< 81 00000000 00 08 01 00 00
	` + powerOnT0 + `
		# parameters of an unknown protocol, of a wrong length, of an unsupported rate
		> 61 05000000 00 09 02 0000 11 00 00 0A 00
		< 82 00000000 00 09 40 07 00
		> 61 05000000 00 0A 01 0000 11 10 00 4D 00
		< 82 00000000 00 0A 40 01 00
		> 61 05000000 00 0B 00 0000 FF 00 00 0A 00
		< 82 00000000 00 0B 40 0A 00
		# the card is removed
		r
		i 50 02
		> 6F 05000000 00 0C 00 0000 8030000000
		< 80 00000000 00 0C 42 FE 00
		u
		x`)
	})
}

func TestMessagesInSeveralTransfers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := attach(t, New(TPDU), card.T0())
		h.play(powerOnT0)
		// A host controller that splits transfers at packets. The answer fills two packets. It is
		// read in one request, with the zero-length packet, and in two, the second of which ends
		// before it.
		for range 2 {
			h.play("> 6F 45000000 00 02 00 0000 80320000 40 " + hexCount(49))
			h.play("> " + hexCount(64)[49*2:] + "\n< 80 02000000 00 02 00 00 00 9000")
		}
		h.play("> 6F 05000000 00 03 00 0000 80340034 34\n< 80 36000000 00 03 00 00 00 " +
			hexCount(52) + "9000\n<")
		h.play("> 6F 05000000 00 04 00 0000 80340034 34")
		var b [64]byte
		if n, err := h.link.In(context.Background(), h.e.in, b[:], soon); n != 64 || err != nil {
			t.Fatalf("a request for one packet got %d bytes, %v", n, err)
		}
		if n, err := h.link.In(context.Background(), h.e.in, b[:], soon); n != 0 || err != nil {
			t.Fatalf("after it %d bytes, %v; expected a zero-length packet", n, err)
		}
	})
}

func hexCount(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return hex.EncodeToString(b)
}

func TestAbort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := attach(t, New(TPDU), card.T0())
		h.d.Inject(Fault{At: AtAnswer, Command: XfrBlock, Do: []Action{Lose()}})
		h.play(powerOnT0 + `
		> 6F 05000000 00 02 00 0000 8030000000
		<
		> 65 00000000 00 03 00 0000
		< 81 00000000 00 03 40 E0 00
		# ABORT request, slot 0, bSeq 4: other commands are aborted until the Abort message
		c 21 01 0004 0000 0000
		=
		> 65 00000000 00 03 00 0000
		< 81 00000000 00 03 40 FF 00
		> 72 00000000 00 04 00 0000
		< 81 00000000 00 04 00 00 00
		> 6F 05000000 00 05 00 0000 8030000000
		< 80 02000000 00 05 00 00 00 9000`)
	})
}

func TestProcessingTimeOfTheCard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := card.New(card.Options{ATR: card.ATRT0,
			Applets: []card.Applet{&card.Exchange{Unit: 3 * time.Millisecond}},
			T0:      card.T0Options{Null: 2 * time.Millisecond}})
		h := attach(t, New(TPDU), c)
		h.play(powerOnT0 + `
		> 6F 05000000 00 02 00 0000 8038000100
		> 65 00000000 00 03 00 0000
		< 81 00000000 00 03 40 E0 00
		< 80 00000000 00 02 80 01 00
		< 80 02000000 00 02 00 00 00 9000`)
		// The card is removed during its processing time.
		h.play(`
		> 6F 05000000 00 04 00 0000 8038000300
		r
		< 80 00000000 00 04 42 FE 00
		<`)
	})
}

func TestAllocationFreeExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := attach(t, New(TPDU), card.T0())
		h.play(powerOnT0)
		message := unhex(t, "6F 05000000 00 02 00 0000 80340010 10")
		buf := make([]byte, 512)
		ctx := context.Background()
		if n := testing.AllocsPerRun(100, func() {
			h.link.Out(ctx, h.e.out, message, time.Second)
			h.link.In(ctx, h.e.in, buf, time.Second)
		}); n != 0 {
			t.Errorf("an exchange allocates %v times", n)
		}
	})
}

func BenchmarkExchange(b *testing.B) {
	d := NewDevice(New(TPDU))
	d.Reader(0).Insert(0, card.T0())
	link, _ := d.Open(0)
	ctx := context.Background()
	buf := make([]byte, 512)
	link.Out(ctx, 1, []byte{IccPowerOn, 0, 0, 0, 0, 0, 0, 0, 0, 0}, time.Second)
	link.In(ctx, 0x81, buf, time.Second)
	message := []byte{XfrBlock, 5, 0, 0, 0, 0, 1, 0, 0, 0, 0x80, 0x34, 0, 16, 16}
	b.ReportAllocs()
	for b.Loop() {
		link.Out(ctx, 1, message, time.Second)
		link.In(ctx, 0x81, buf, time.Second)
	}
}
