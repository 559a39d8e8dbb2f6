package ccid

import (
	"context"
	"fmt"
	"math"
	"time"

	"tamaccid/ccid/internal/pipe"
	"tamaccid/ccid/t0"
	"tamaccid/ccid/t1"
)

// At character level the host receives every character (CCID 1.1, 3.2): wLevelParameter is how many
// are expected.
//
// T=0, after the header of five characters (ISO/IEC 7816-3:2006, 10.3.3):
//
//	procedure byte      data to the card          data from the card
//	60 (NULL)           read the next one; at most maxNulls, at most Limit
//	INS                 send all that is left     read all that is left, and a procedure byte
//	INS xor FF          send one                  read one, and a procedure byte
//	6X, 9X              SW1: read SW2, end
//	other               ErrProtocol, as when more data is asked for than P3 has
const (
	procedureNull = 0x60
	maxNulls      = 4096 // policy; Limit bounds their time
)

// characterT0 runs one command TPDU. The answer is a view of s.assembled.
func (s *Slot) characterT0(ctx context.Context, tpdu []byte) ([]byte, error) {
	c := characterCommand{
		s: s, ins: tpdu[1], data: tpdu[t0Header:], buf: s.assembled[:t0.MaxResponse],
	}
	if len(c.data) == 0 {
		if c.incoming = int(tpdu[4]); c.incoming == 0 {
			c.incoming = t0MaxData
		}
	}
	started := time.Now()
	if err := c.ask(ctx, tpdu[:t0Header], 1); err != nil {
		return nil, err
	}
	for nulls := 0; ; {
		p, err := c.next(ctx)
		if err != nil {
			return nil, err
		}
		switch {
		case p == procedureNull:
			if nulls++; nulls > maxNulls || time.Since(started) > s.r.timing.Limit {
				return nil, fmt.Errorf("%w: card asks for time without end", ErrTimeout)
			}
		case p&0xF0 == 0x60 || p&0xF0 == 0x90:
			return c.status(ctx, p)
		case p != c.ins && p != c.ins^0xFF:
			return nil, fmt.Errorf("%w: procedure byte %02X", ErrProtocol, p)
		case len(c.data) > 0:
			err = c.send(ctx, p == c.ins)
		case c.got < c.incoming:
			err = c.receive(ctx, p == c.ins)
		default:
			err = fmt.Errorf("%w: procedure byte asks for more than P3", ErrProtocol)
		}
		if err != nil {
			return nil, err
		}
	}
}

// Sizes of a T=0 command: CLA INS P1 P2 P3, and data (ISO/IEC 7816-3:2006, 10.3.2).
const (
	t0Header  = 5
	t0MaxData = 256
)

// characterCommand is a T=0 command in progress.
type characterCommand struct {
	s        *Slot
	ins      byte
	data     []byte // left for the card
	incoming int    // P3, when data comes from the card
	buf      []byte // data from the card, got of it so far
	got      int
	pending  []byte // characters that were received and not used yet
}

// ask sends characters, and reads those that are expected.
func (c *characterCommand) ask(ctx context.Context, send []byte, expect int) (err error) {
	c.pending, err = c.s.characters(ctx, send, expect)
	return err
}

// next returns the next character. One answer without characters is accepted.
func (c *characterCommand) next(ctx context.Context) (byte, error) {
	if len(c.pending) == 0 {
		if err := c.ask(ctx, nil, 1); err != nil {
			return 0, err
		}
		if len(c.pending) == 0 {
			return 0, fmt.Errorf("%w: no characters", ErrProtocol)
		}
	}
	b := c.pending[0]
	c.pending = c.pending[1:]
	return b, nil
}

// status ends the command with SW1 and the next character.
func (c *characterCommand) status(ctx context.Context, sw1 byte) ([]byte, error) {
	sw2, err := c.next(ctx)
	if err != nil {
		return nil, err
	}
	if len(c.pending) > 0 || c.got+statusSize > len(c.buf) {
		return nil, fmt.Errorf("%w: characters after the status", ErrProtocol)
	}
	c.buf[c.got], c.buf[c.got+1] = sw1, sw2
	return c.buf[:c.got+statusSize], nil
}

// send sends the card all data that is left, or one byte, in parts where the reader's messages are
// short. The card answers the last part.
func (c *characterCommand) send(ctx context.Context, all bool) error {
	if len(c.pending) > 0 {
		return fmt.Errorf("%w: card talks while it takes data", ErrProtocol)
	}
	n := 1
	if all {
		n = len(c.data)
	}
	for n > 0 {
		part, expect := min(n, c.s.r.maxPayload), 0
		if part == n {
			expect = 1
		}
		if err := c.ask(ctx, c.data[:part], expect); err != nil {
			return err
		}
		c.data, n = c.data[part:], n-part
	}
	return nil
}

// receive reads all data that is left, or one byte, and the procedure byte behind it in the same
// message.
func (c *characterCommand) receive(ctx context.Context, all bool) error {
	n := 1
	if all {
		n = c.incoming - c.got
	}
	for n > 0 {
		if len(c.pending) == 0 {
			if err := c.ask(ctx, nil, n+1); err != nil {
				return err
			}
		}
		k := copy(c.buf[c.got:min(c.got+n, len(c.buf))], c.pending)
		if k == 0 {
			return fmt.Errorf("%w: no data, or too much", ErrProtocol)
		}
		c.got, n, c.pending = c.got+k, n-k, c.pending[k:]
	}
	return nil
}

// characters sends characters and returns those that were expected, or fewer: a view of the slot's
// buffer.
func (s *Slot) characters(ctx context.Context, send []byte, expect int) ([]byte, error) {
	n := s.pipe.Load(send)
	expect = s.expectable(expect)
	a, err := s.xfr(ctx, pipe.Command{
		P: xfrParameters(0, uint16(expect)), N: n, Want: expect, Wait: s.tpduWait(n + expect),
	})
	if err != nil {
		return nil, err
	}
	if len(a.Data) > expect {
		return nil, fmt.Errorf("%w: %d characters for %d", ErrProtocol, len(a.Data), expect)
	}
	return a.Data, nil
}

// packetEnd is the length of a packet at full speed (USB 2.0, 5.8.3).
const packetEnd = 64

// expectable is how many of n characters can be read at once.
func (s *Slot) expectable(n int) int {
	n = min(n, s.r.maxPayload)
	if s.r.iface.Kind != KindBulk {
		n = min(n, math.MaxUint8) // half of wValue (ICCD 1.0, 7.2)
	}
	if s.r.quirk.SplitReads && (n+pipe.HeaderSize)%packetEnd == 0 {
		n--
	}
	return n
}

// characterT1 sends the block of n bytes that is in the slot's buffer, and reads one into
// s.assembled: prologue first, then as much as LEN declares.
func (s *Slot) characterT1(ctx context.Context, n int, extension uint8) ([]byte, error) {
	const prologue = 3 // NAD, PCB, LEN (ISO/IEC 7816-3:2006, 11.3.1)
	buf := s.assembled
	need, got := prologue, 0
	for got < need {
		expect := s.expectable(need - got)
		a, err := s.xfr(ctx, pipe.Command{
			P: xfrParameters(extension, uint16(expect)), N: n, Want: expect,
			Wait: s.blockWait(extension),
		})
		if err != nil {
			return nil, unreadable(err)
		}
		if len(a.Data) == 0 || len(a.Data) > len(buf)-got {
			return nil, fmt.Errorf("%w: %d characters for %d", t1.ErrNoBlock, len(a.Data), expect)
		}
		got += copy(buf[got:], a.Data)
		n = 0
		if got >= prologue && need == prologue {
			need = prologue + int(buf[2]) + 1
			if s.info.CRC {
				need++
			}
			if need > len(buf) {
				return nil, fmt.Errorf("%w: length %d", t1.ErrNoBlock, buf[2])
			}
		}
	}
	return buf[:got], nil
}
