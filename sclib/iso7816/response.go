package iso7816

// A Response is a response APDU: data and a status word.
type Response struct {
	Data []byte     // 0 to MaxNe bytes
	SW   StatusWord // the last two bytes
}

// ParseResponse parses a response APDU. Data is a part of b. The error is ErrResponse if b is
// shorter than a status word or longer than a response APDU can be.
func ParseResponse(b []byte) (Response, error) {
	n := len(b) - 2
	if n < 0 || n > MaxNe {
		return Response{}, ErrResponse
	}
	return Response{Data: b[:n], SW: StatusWord(b[n])<<8 | StatusWord(b[n+1])}, nil
}

// Append appends the encoded response to dst.
func (r Response) Append(dst []byte) []byte {
	return append(append(dst, r.Data...), r.SW.SW1(), r.SW.SW2())
}

// Err returns nil after normal processing (90 00, or 61 xx if more data is available), and the
// status word otherwise.
func (r Response) Err() error {
	if r.SW.OK() {
		return nil
	}
	return r.SW
}
