package ccid

import (
	"context"
	"fmt"
	"time"

	"tamaccid/ccid/t0"
	"tamaccid/ccid/t1"
)

// At character level the host sees every character (CCID 1.1, 3.2): wLevelParameter is how many are expected.
//
// T=0, after the header of five characters (ISO/IEC 7816-3:2006, 10.3.3):
//
//	procedure byte      data to the card          data from the card
//	60 (NULL)           read the next one; at most maxNulls, at most Limit
//	INS                 send all that is left     read all that is left, and the next procedure byte
//	INS xor FF          send one                  read one, and the next procedure byte
//	6X, 9X              SW1: read SW2, end
//	other               ErrProtocol; more data asked for than P3 says: ErrProtocol
const (
	procedureNull = 0x60
	maxNulls      = 4096 // policy; Limit bounds their time
)

// characterT0 runs one command TPDU.
func (s *Slot) characterT0(ctx context.Context, tpdu, buf []byte) (int, error) {
	if s.r.iface.Kind == KindICCDA {
		return s.iccdT0(ctx, tpdu, buf)
	}
	header, data := tpdu[:5], tpdu[5:]
	ins := header[1]
	incoming := 0
	if len(data) == 0 {
		if incoming = int(header[4]); incoming == 0 {
			incoming = t0.MaxResponse - 2
		}
	}
	started := time.Now()
	pending, err := s.characters(ctx, header, 1)
	if err != nil {
		return 0, err
	}
	got, nulls := 0, 0
	for {
		if len(pending) == 0 {
			if pending, err = s.characters(ctx, nil, 1); err != nil {
				return 0, err
			}
			if len(pending) == 0 {
				return 0, fmt.Errorf("%w: no procedure byte", ErrProtocol)
			}
		}
		p := pending[0]
		pending = pending[1:]
		switch {
		case p == procedureNull:
			if nulls++; nulls > maxNulls || time.Since(started) > s.r.timing.Limit {
				return 0, fmt.Errorf("%w: card asks for time without end", ErrTimeout)
			}
		case p&0xF0 == 0x60 || p&0xF0 == 0x90:
			sw1 := p
			if len(pending) == 0 {
				if pending, err = s.characters(ctx, nil, 1); err != nil {
					return 0, err
				}
			}
			if len(pending) != 1 || got+2 > len(buf) {
				return 0, fmt.Errorf("%w: no second status byte", ErrProtocol)
			}
			buf[got], buf[got+1] = sw1, pending[0]
			return got + 2, nil
		case p == ins || p == ins^0xFF:
			n := 1
			switch {
			case len(data) > 0:
				if p == ins {
					n = len(data)
				}
				if len(pending) > 0 {
					return 0, fmt.Errorf("%w: card talks while it takes data", ErrProtocol)
				}
				for n > 0 { // in parts where the reader's messages are short; the card answers the last
					part := min(n, s.r.maxPayload)
					expect := 0
					if part == n {
						expect = 1
					}
					if pending, err = s.characters(ctx, data[:part], expect); err != nil {
						return 0, err
					}
					data, n = data[part:], n-part
				}
			case got < incoming:
				if p == ins {
					n = incoming - got
				}
				for n > 0 {
					if len(pending) == 0 {
						if pending, err = s.characters(ctx, nil, n+1); err != nil {
							return 0, err
						}
						if len(pending) == 0 {
							return 0, fmt.Errorf("%w: no data", ErrProtocol)
						}
					}
					k := copy(buf[got:min(got+n, len(buf))], pending)
					if k == 0 {
						return 0, fmt.Errorf("%w: too much data", ErrProtocol)
					}
					got, n, pending = got+k, n-k, pending[k:]
				}
			default:
				return 0, fmt.Errorf("%w: procedure byte asks for more than P3", ErrProtocol)
			}
		default:
			return 0, fmt.Errorf("%w: procedure byte %02X", ErrProtocol, p)
		}
	}
}

// characters sends some characters and returns those that were expected, or fewer: a view into the in buffer.
func (s *Slot) characters(ctx context.Context, send []byte, expect int) ([]byte, error) {
	n := copy(s.out[headerSize:], send)
	if expect = min(expect, s.r.maxPayload); s.r.quirk.SplitReads && (expect+headerSize)%64 == 0 {
		expect--
	}
	a, err := s.xfr(ctx, n, 0, uint16(expect), expect, s.tpduWait(n+expect))
	if err != nil {
		return nil, err
	}
	if len(a.data) > expect {
		return nil, fmt.Errorf("%w: %d characters for %d", ErrProtocol, len(a.data), expect)
	}
	return a.data, nil
}

// characterT1 sends the block of n bytes that is in the out buffer, and reads one: prologue first, then what LEN says.
func (s *Slot) characterT1(ctx context.Context, n int, buf []byte, extension uint8) (int, error) {
	const prologue = 3
	need, got := prologue, 0
	for got < need {
		expect := min(need-got, s.r.maxPayload)
		if s.r.quirk.SplitReads && (expect+headerSize)%64 == 0 {
			expect--
		}
		a, err := s.xfr(ctx, n, extension, uint16(expect), expect, s.blockWait(extension))
		if err != nil {
			return 0, unreadable(err)
		}
		if len(a.data) == 0 || len(a.data) > len(buf)-got {
			return 0, fmt.Errorf("%w: %d characters for %d", t1.ErrNoBlock, len(a.data), expect)
		}
		got += copy(buf[got:], a.data)
		n = 0
		if got >= prologue && need == prologue {
			need = prologue + int(buf[2]) + 1
			if s.info.CRC {
				need++
			}
			if need > len(buf) {
				return 0, fmt.Errorf("%w: length %d", t1.ErrNoBlock, buf[2])
			}
		}
	}
	return got, nil
}
