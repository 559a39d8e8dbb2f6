// Package t0 maps command APDUs on T=0's command TPDUs, which carry data in one direction only.
//
// Specifications: ISO/IEC 7816-3:2006, 12.2; ISO/IEC 7816-4:2013, 5.1 (GET RESPONSE, ENVELOPE,
// status bytes).
package t0

import (
	"context"
	"errors"
	"fmt"

	"tamaccid/ccid/apdu"
)

// What is sent for each case (ISO/IEC 7816-3:2006, 12.2.1 to 12.2.7), and what follows from the
// card's status.
//
//	case          first TPDU                 61XX           6CXX            9000, no data     else
//	1             P3 = 0                     GET RESPONSE   again, P3 = XX  end               end
//	2S, 2E        P3 = Le, 0 from 256 on     GET RESPONSE   again, P3 = XX  end               end
//	3S, 3E        P3 = Lc, data              end            end             end               end
//	4S, 4E        P3 = Lc, data              GET RESPONSE   end             GET RESPONSE Le   end
//	3E, 4E long   ENVELOPE, 255 bytes each   as 3 or 4      end             next, as 3 or 4   end
//	GET RESPONSE  P3 = min(XX, what is left) GET RESPONSE   again, P3 = XX  end               end
//
// Two rows go beyond the standard. It passes 61XX and 6CXX of case 1 to the program; but the
// mapping has added P3 = 0, which the card takes for Le = 256, and the data of a four-byte command
// would be lost. And where GET RESPONSE after 9000 fails, 9000 was the whole response, as with many
// cards. All of it is bounded: a status 6CXX is followed once for each TPDU, 61XX as long as each
// GET RESPONSE returns data, up to Le.

// Instructions (ISO/IEC 7816-4:2013, table 4.2).
const (
	insGetResponse = 0xC0
	insEnvelope    = 0xC2
)

// First status bytes (ISO/IEC 7816-4:2013, table 5).
const (
	sw1More    = 0x61
	sw1Length  = 0x6C
	sw1Success = 0x90
)

// Sizes of a TPDU (ISO/IEC 7816-3:2006, 10.3.2).
const (
	headerSize  = 5
	maxData     = 255
	maxAnswer   = 256
	statusSize  = 2
	MaxCommand  = headerSize + maxData
	MaxResponse = maxAnswer + statusSize
)

// claChaining is the bit of CLA for a chain of which more commands follow (ISO/IEC 7816-4:2013,
// 5.4.1). A GET RESPONSE is no part of the chain.
const claChaining = 0x10

// Errors of a call. Those of the link are passed through.
var (
	// ErrCommand is the error for bytes that are not a command APDU.
	ErrCommand = errors.New("t0: not a command APDU")
	// ErrCard is the error for an answer of the card that is not a response TPDU.
	ErrCard = errors.New("t0: card breaks the protocol")
)

// Link exchanges TPDUs with the card.
type Link interface {
	// Exchange sends a command TPDU, header and data, and returns data and status, which stay valid
	// until the next call. Data goes to the card when there is any after the header.
	Exchange(ctx context.Context, tpdu []byte) (answer []byte, err error)
}

// Machine maps APDUs. It allocates nothing in a call that succeeds. It is not safe for concurrent
// use.
type Machine struct {
	link Link
	out  [MaxCommand]byte
}

// New returns a Machine on a link.
func New(link Link) *Machine { return &Machine{link: link} }

// Wipe clears the last TPDU that was sent. Those of the card are the link's.
func (m *Machine) Wipe() { clear(m.out[:]) }

// reply is a response TPDU; data is a view.
type reply struct {
	data     []byte
	sw1, sw2 byte
}

// more is XX of 61XX or 6CXX, where 0 is 256.
func (r reply) more() int {
	if r.sw2 == 0 {
		return maxAnswer
	}
	return int(r.sw2)
}

// tpdu sends one command TPDU.
func (m *Machine) tpdu(ctx context.Context, cla, ins, p1, p2, p3 byte, data []byte) (reply, error) {
	b := append(m.out[:0], cla, ins, p1, p2, p3)
	b = append(b, data...)
	answer, err := m.link.Exchange(ctx, b)
	if err != nil {
		return reply{}, err
	}
	n := len(answer)
	if n < statusSize || n > MaxResponse {
		return reply{}, fmt.Errorf("%w: response of %d bytes", ErrCard, n)
	}
	return reply{data: answer[:n-statusSize], sw1: answer[n-2], sw2: answer[n-1]}, nil
}

// outgoing sends a command without data for the card, and again with the right length if the card
// returns that (6CXX).
func (m *Machine) outgoing(ctx context.Context, cla, ins, p1, p2 byte, want int) (reply, error) {
	r, err := m.tpdu(ctx, cla, ins, p1, p2, byte(min(want, maxAnswer)), nil)
	if err == nil && r.sw1 == sw1Length && len(r.data) == 0 {
		r, err = m.tpdu(ctx, cla, ins, p1, p2, r.sw2, nil)
	}
	return r, err
}

// Transmit sends a command APDU and reads the response APDU into response; n is its length. Errors:
// ErrCommand, ErrCard, *apdu.ShortBufferError, and those of the link.
func (m *Machine) Transmit(ctx context.Context, command, response []byte) (n int, err error) {
	c, err := apdu.Parse(command)
	if err != nil {
		return 0, fmt.Errorf("%w: %d bytes", ErrCommand, len(command))
	}
	want := c.Le
	var r reply
	switch {
	case len(c.Data) == 0:
		if c.Case == apdu.Case1 {
			want = maxAnswer
			r, err = m.outgoing(ctx, c.CLA, c.INS, c.P1, c.P2, maxAnswer) // P3 = 0
		} else {
			r, err = m.outgoing(ctx, c.CLA, c.INS, c.P1, c.P2, want)
		}
	case len(c.Data) <= maxData:
		r, err = m.tpdu(ctx, c.CLA, c.INS, c.P1, c.P2, byte(len(c.Data)), c.Data)
	default:
		r, err = m.envelope(ctx, c.CLA, command)
	}
	if err != nil {
		return 0, err
	}
	a := collector{apdu.ResponseIn(response)}
	if want == 0 {
		// a card may answer case 3 with data, which is not dropped
		want = len(r.data)
	}
	a.take(r.data, want)
	if len(c.Data) > 0 && c.Le > 0 && r.sw1 == sw1Success && r.sw2 == 0 && a.Len() == 0 {
		next, err := m.getResponse(ctx, c.CLA, want)
		if err != nil {
			return 0, err
		}
		if next.sw1 == sw1Success || next.sw1 == sw1More || len(next.data) > 0 {
			r = next
			a.take(r.data, want)
		}
	}
	for r.sw1 == sw1More && a.Len() < want {
		before := a.Len()
		if r, err = m.getResponse(ctx, c.CLA, min(r.more(), want-a.Len())); err != nil {
			return 0, err
		}
		a.take(r.data, want)
		if a.Len() == before {
			break // no data: whatever the status is, it is the last
		}
	}
	a.Append(r.sw1, r.sw2)
	return a.End()
}

// getResponse fetches what 61XX announced. It goes to the same logical channel as the command.
func (m *Machine) getResponse(ctx context.Context, cla byte, want int) (reply, error) {
	if cla&0x80 == 0 {
		cla &^= claChaining
	}
	return m.outgoing(ctx, cla, insGetResponse, 0, 0, want)
}

// envelope sends a whole command APDU as the data of ENVELOPE commands (ISO/IEC 7816-3:2006,
// 12.2.6). The command ends where its own length fields have its end.
func (m *Machine) envelope(ctx context.Context, cla byte, command []byte) (reply, error) {
	if cla&0x80 == 0 {
		cla &^= claChaining
	}
	for {
		part := command[:min(len(command), maxData)]
		command = command[len(part):]
		r, err := m.tpdu(ctx, cla, insEnvelope, 0, 0, byte(len(part)), part)
		if err != nil || len(command) == 0 || r.sw1 != sw1Success {
			return r, err
		}
	}
}

// collector gathers a response from several TPDUs.
type collector struct{ apdu.Response }

// take adds data, up to want in all: a card may return more than Le after 6CXX.
func (a *collector) take(data []byte, want int) {
	a.Append(data[:min(len(data), max(0, want-a.Len()))]...)
}
