package pipe

import (
	"context"
	"fmt"
	"time"

	"tamaccid/ccid/usb"
)

// An ICCD of version A at character level runs T=0 in phases (ICCD 1.0, 6.2):
//
//	status            data left for the card    data wanted             next
//	busy              -                         -                       read again, until the
//	                                                                    command's wait is over
//	mute              -                         -                       failed: mute
//	data phase        OUT 65 with all of it     -                       status
//	data phase        none                      IN 6F, at most P3       status
//	status ready      dropped                   IN 6F, two bytes        end
//	anything else     -                         -                       ErrProtocol
const (
	t0HeaderSize = 5   // CLA INS P1 P2 P3 (ISO/IEC 7816-3:2006, 10.3.2)
	t0MaxData    = 256 // ISO/IEC 7816-3:2006, 10.3.2
	t0StatusSize = 2   // SW1 SW2
	maxPhases    = 300 // data in single bytes, and status (policy)
)

// phases runs a T=0 command TPDU: header, then data as the status requires it, then the status
// bytes.
func (d *iccd) phases(ctx context.Context, tpdu []byte, deadline time.Time) (Answer, error) {
	header, data := tpdu[:t0HeaderSize], tpdu[t0HeaderSize:]
	end := 0 // of the data that is wanted, in buf
	if len(data) == 0 {
		if end = int(header[4]); end == 0 {
			end = t0MaxData
		}
	}
	out := func(b []byte) error {
		_, err := d.p.ClassRequest(ctx, usb.DirOut, requestXfrBlock, 0, b, d.p.Waits.Write)
		return err
	}
	in := func(b []byte) (int, error) {
		return d.p.ClassRequest(ctx, usb.DirIn, requestDataBlock, 0, b, d.p.Waits.Answer)
	}
	if err := out(header); err != nil {
		return Answer{}, err
	}
	got := 0
	for range maxPhases {
		status, err := d.ready(ctx, deadline)
		if err != nil {
			return Answer{}, err
		}
		switch {
		case status&statusMute != 0:
			return d.failure(XfrBlock, CodeMute), nil
		case status&statusData != 0 && len(data) > 0:
			if err := out(data); err != nil {
				return Answer{}, err
			}
			data = nil
		case status&statusData != 0 && got < end:
			n, err := in(d.buf[got:end])
			if err != nil {
				return Answer{}, err
			}
			if n == 0 {
				return Answer{}, fmt.Errorf("%w: no data", ErrProtocol)
			}
			got += n
		case status&statusReady != 0:
			n, err := in(d.buf[got : got+t0StatusSize])
			if err != nil {
				return Answer{}, err
			}
			if n != t0StatusSize {
				return Answer{}, fmt.Errorf("%w: status of %d bytes", ErrProtocol, n)
			}
			return response(XfrBlock, d.icc(), 0, 0, d.buf[:got+n]), nil
		default:
			return Answer{}, fmt.Errorf("%w: status %02X", ErrProtocol, status)
		}
	}
	return Answer{}, fmt.Errorf("%w: command does not end", ErrProtocol)
}
