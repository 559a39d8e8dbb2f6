package iso7816

// A Response is a response APDU: data and a status word.
type Response struct {
	Data []byte
	SW   StatusWord
}

// ParseResponse reads a response APDU. Data lies within b. ErrResponse says that b has no status word, or is longer than any
// response can be.
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

// Err is nil if the card did what was asked (90 00, or 61 xx with more data to fetch), else the status word as an error.
func (r Response) Err() error {
	if r.SW.OK() {
		return nil
	}
	return r.SW
}
