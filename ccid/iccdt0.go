package ccid

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tamaccid/ccid/usb"
)

// An ICCD of version A at character level runs T=0 in phases (ICCD 1.0, 6.2):
//
//	status            data left for the card    data wanted             next
//	busy              -                         -                       asked again, until the command's wait is over
//	mute              -                         -                       ErrMute
//	data phase        OUT 65 with all of it     -                       status
//	data phase        none                      IN 6F, at most P3       status
//	status ready      dropped                   IN 6F, two bytes        end
//	anything else     -                         -                       ErrProtocol
const (
	t0MaxData = 256 // ISO/IEC 7816-3:2006, 10.3.2
	maxPhases = 300 // data in single bytes, and status (policy)
)

// iccdT0 runs a T=0 command TPDU on a version A device of character level (ICCD 1.0, 6.2): header, then data as its status
// asks for it, then the status bytes.
func (s *Slot) iccdT0(ctx context.Context, tpdu, buf []byte) (int, error) {
	d, ok := s.r.pipe.(*iccd)
	if !ok {
		return 0, ErrUnsupported
	}
	n, err := d.tpduA(ctx, tpdu, buf, time.Now().Add(s.tpduWait(len(tpdu)+len(buf))))
	if err != nil && !errors.Is(err, usb.ErrGone) && !errors.Is(err, ErrProtocol) && !errors.Is(err, ErrMute) {
		s.stale = true
	}
	return n, s.r.note(err)
}

func (d *iccd) tpduA(ctx context.Context, tpdu, buf []byte, deadline time.Time) (int, error) {
	header, data := tpdu[:5], tpdu[5:]
	want := 0
	if len(data) == 0 {
		if want = int(header[4]); want == 0 {
			want = t0MaxData
		}
	}
	if _, err := d.request(ctx, usb.DirOut, requestXfrBlock, 0, header, d.r.timing.Write); err != nil {
		return 0, err
	}
	got := 0
	for range maxPhases {
		status, err := d.ready(ctx, deadline)
		if err != nil {
			return 0, err
		}
		switch {
		case status&statusMute != 0:
			return 0, ErrMute
		case status&statusData != 0 && len(data) > 0:
			if _, err := d.request(ctx, usb.DirOut, requestXfrBlock, 0, data, d.r.timing.Write); err != nil {
				return 0, err
			}
			data = nil
		case status&statusData != 0 && got < want:
			n, err := d.request(ctx, usb.DirIn, requestDataBlock, 0, d.buf[:want-got], d.r.timing.Answer)
			if err != nil {
				return 0, err
			}
			if n == 0 || got+n > len(buf) {
				return 0, fmt.Errorf("%w: data of %d bytes", ErrProtocol, n)
			}
			got += copy(buf[got:], d.buf[:n])
		case status&statusReady != 0:
			n, err := d.request(ctx, usb.DirIn, requestDataBlock, 0, d.buf[:2], d.r.timing.Answer)
			if err != nil {
				return 0, err
			}
			if n != 2 || got+2 > len(buf) {
				return 0, fmt.Errorf("%w: status of %d bytes", ErrProtocol, n)
			}
			return got + copy(buf[got:], d.buf[:2]), nil
		default:
			return 0, fmt.Errorf("%w: status %02X", ErrProtocol, status)
		}
	}
	return 0, fmt.Errorf("%w: command does not end", ErrProtocol)
}
