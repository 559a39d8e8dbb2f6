package ifd

// Sizes and procedure bytes of T=0 (ISO 7816-3, 10.3).
const (
	headerSize = 4
	tpduHeader = 5
	maxShort   = 256

	procNULL = 0x60
	insMask  = 0xF0
)

// T0 exchanges one T=0 TPDU and appends the response data and the two status bytes to out. A TPDU
// is the header with P3, followed by P3 data bytes, or by none if response data is expected. A P3
// of zero may be omitted.
//
//	procedure byte | action
//	60             | record a time extension
//	6X, 9X         | read SW2, end
//	INS            | send or read all remaining bytes
//	INS XOR FF     | send or read one byte
//	other          | ErrProcedure
func (l *Line) T0(tpdu, out []byte) ([]byte, error) {
	if len(tpdu) < headerSize {
		return out, ErrLength
	}
	header := &l.header
	*header = [tpduHeader]byte{}
	copy(header[:], tpdu)
	ins, p3 := header[1], int(header[4])
	var data []byte
	receive := 0
	if len(tpdu) > tpduHeader {
		data = tpdu[tpduHeader:]
		if len(data) != p3 {
			return out, ErrLength
		}
	} else if receive = p3; p3 == 0 {
		receive = maxShort
	}
	l.Send(header[:])
	var one [2]byte
	for {
		pb, ok := l.Read(one[:0], 1)
		switch {
		case !ok:
			return out, ErrMute
		case l.parity:
			return out, ErrParity
		case pb[0] == procNULL:
			l.extend(1)
		case pb[0]&insMask == 0x60 || pb[0]&insMask == 0x90:
			out = append(out, pb[0])
			if out, ok = l.Read(out, 1); !ok {
				return out, ErrMute
			}
			return out, nil
		case pb[0] == ins || pb[0] == ^ins:
			n := 1
			if pb[0] == ins {
				n = max(len(data), receive)
			}
			switch {
			case len(data) > 0:
				n = min(n, len(data))
				l.Send(data[:n])
				data = data[n:]
			case receive > 0:
				n = min(n, receive)
				if out, ok = l.Read(out, n); !ok {
					return out, ErrMute
				}
				receive -= n
			default:
				return out, ErrProcedure
			}
		default:
			return out, ErrProcedure
		}
	}
}

// PPS sends a protocol and parameters selection and appends the answer to out (ISO 7816-3, 9).
func (l *Line) PPS(request, out []byte) ([]byte, error) {
	l.Send(request)
	start := len(out)
	out, ok := l.Read(out, 2)
	if !ok {
		return out[:start], ErrMute
	}
	n := 1 // PCK
	for bit := byte(0x10); bit <= 0x40; bit <<= 1 {
		if out[start+1]&bit != 0 {
			n++
		}
	}
	if out, ok = l.Read(out, n); !ok {
		return out[:start], ErrMute
	}
	if l.parity {
		return out[:start], ErrParity
	}
	return out, nil
}
