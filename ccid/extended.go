package ccid

import (
	"context"
	"fmt"

	"tamaccid/ccid/apdu"
	"tamaccid/ccid/internal/pipe"
)

// Chaining of APDUs that are longer than a message (CCID 1.1, 6.1.4 and 6.2.1).
//
//	state      sent                             answered by           next
//	sending    wLevelParameter 1 (begins) or 3  bChainParameter 0x10  next part, 2 (ends) if last
//	           (goes on)                        0, with data          end: refused by the card
//	sent       0 (whole) or 2 (ends)            0 or 2                end
//	                                            1 or 3                receiving
//	receiving  empty, 0x10                      2 or 0                end
//	                                            1, 3, 0x10            receiving (1)
//
// Anything else leaves the slot stale, so that the abort sequence ends the reader's chain before
// the next command. (1) At most maxEmptyParts have no data.
const (
	levelWhole    = 0x0000
	levelBegins   = 0x0001
	levelEnds     = 0x0002
	levelGoesOn   = 0x0003
	levelContinue = 0x0010
)

// statusSize is SW1 and SW2.
const statusSize = 2

// maxEmptyParts bounds parts of a response without data (policy).
const maxEmptyParts = 16

// transmitAPDU exchanges an APDU with a reader that runs the protocol itself.
func (s *Slot) transmitAPDU(ctx context.Context, p Protocol, capdu, rapdu []byte) (int, error) {
	room := s.r.maxPayload
	if len(capdu) > room && (s.r.level != LevelExtendedAPDU || room == 0) {
		return 0, fmt.Errorf("%w: %d bytes, %d at most", ErrTooLong, len(capdu), room)
	}
	answerRoom := responseRoom(capdu, rapdu)
	a, whole, err := s.sendParts(ctx, p, capdu, answerRoom)
	if err != nil {
		return 0, err
	}
	chained := len(capdu) > room
	response, empty := apdu.ResponseIn(rapdu), 0
	for ; ; chained = true {
		response.Append(a.Data...)
		last := a.Last
		switch {
		case whole || last == pipe.ChainWhole || last == pipe.ChainEnds:
			return response.End()
		case last != pipe.ChainBegins && last != pipe.ChainGoesOn && last != pipe.ChainContinue:
			if !chained && response.Len() >= statusSize {
				// No parts so far: readers that never chain put any value there.
				return response.End()
			}
			s.pipe.MarkStale()
			return 0, fmt.Errorf("%w: chain parameter %#02x", ErrProtocol, last)
		}
		if len(a.Data) == 0 {
			empty++
		}
		if response.Len() > apdu.MaxResponse || empty > maxEmptyParts {
			s.pipe.MarkStale()
			return 0, fmt.Errorf("%w: response does not end", ErrProtocol)
		}
		want := min(room, max(0, answerRoom-response.Len()))
		a, err = s.xfr(ctx, pipe.Command{
			P: xfrParameters(0, levelContinue), Want: want, Wait: s.apduWait(p, room),
		})
		if err != nil {
			s.pipe.MarkStale()
			return 0, err
		}
	}
}

// responseRoom is the longest response that is expected: Le and status bytes, or a short response,
// which some cards send without Le. The caller's buffer may be far longer, and a read needs a
// buffer of the expected size.
func responseRoom(capdu, rapdu []byte) int {
	c, err := apdu.Parse(capdu)
	if err != nil {
		return len(rapdu)
	}
	return min(len(rapdu), max(c.Le+statusSize, apdu.MaxShortResponse))
}

// sendParts sends a command in as many messages as it needs, and returns the answer to the last.
// whole reports that the response is complete whatever its chain parameter is: readers of short
// APDUs do not chain, and put any value there.
func (s *Slot) sendParts(ctx context.Context, p Protocol, capdu []byte,
	answerRoom int) (a pipe.Answer, whole bool, err error) {
	room := s.r.maxPayload
	want := min(answerRoom, room)
	level := uint16(levelWhole)
	for begun := false; ; begun = true {
		part := capdu[:min(len(capdu), room)]
		capdu = capdu[len(part):]
		switch {
		case len(capdu) > 0 && !begun:
			level = levelBegins
		case len(capdu) > 0:
			level = levelGoesOn
		case begun:
			level = levelEnds
		}
		n := s.pipe.Load(part)
		limit := s.apduWait(p, n+room)
		if asksUser(part) {
			limit = max(limit, s.r.timing.Long)
		}
		a, err = s.xfr(ctx, pipe.Command{
			P: xfrParameters(0, level), N: n, Want: want, Wait: limit,
		})
		if err != nil {
			if level != levelWhole {
				s.pipe.MarkStale()
			}
			return a, false, err
		}
		if len(capdu) == 0 {
			return a, s.r.level == LevelShortAPDU, nil
		}
		if len(a.Data) > 0 && a.Last == pipe.ChainWhole {
			return a, true, nil
		}
		if a.Last != pipe.ChainContinue && a.Last != pipe.ChainWhole {
			s.pipe.MarkStale()
			return a, false, fmt.Errorf("%w: chain parameter %#02x amid a command", ErrProtocol,
				a.Last)
		}
	}
}

// asksUser reports whether a command is the pseudo APDU with which the reader prompts the user for
// a PIN (PC/SC part 10, amendment 1: CLA FF, INS C2, P1 01).
func asksUser(capdu []byte) bool {
	return len(capdu) > 3 && capdu[0] == 0xFF && capdu[1] == 0xC2 && capdu[2] == 0x01
}
