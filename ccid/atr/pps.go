package atr

import (
	"errors"
	"fmt"
)

// MaxPPS is the longest PPS: PPSS, PPS0, PPS1, PPS2, PPS3, PCK (ISO/IEC 7816-3:2006, 9.2).
const MaxPPS = 6

// PPSS starts a PPS request and its response.
const PPSS = 0xFF

const ppsHasPPS1 = 0x10

// ErrPPS is the error for a response that does not accept the proposal.
var ErrPPS = errors.New("atr: PPS not accepted")

// AppendPPS appends a PPS request for protocol t. FiDi is proposed in PPS1 unless it is the
// default.
func AppendPPS(dst []byte, t, fidi uint8) []byte {
	pps0 := t & 0x0F
	if fidi == DefaultFiDi {
		return append(dst, PPSS, pps0, PPSS^pps0)
	}
	pps0 |= ppsHasPPS1
	return append(dst, PPSS, pps0, fidi, PPSS^pps0^fidi)
}

// CheckPPS compares the card's response with the request, and returns the FiDi that applies now:
// the one proposed, or the default if the response has no PPS1 (ISO/IEC 7816-3:2006, 9.3).
func CheckPPS(request, response []byte) (fidi uint8, err error) {
	if len(request) < 3 || len(response) < 3 || len(response) > len(request) {
		return 0, fmt.Errorf("%w: %d bytes", ErrPPS, len(response))
	}
	var pck byte
	for _, c := range response {
		pck ^= c
	}
	req0, res0 := request[1], response[1]
	switch {
	case response[0] != PPSS || pck != 0:
		return 0, fmt.Errorf("%w: damaged", ErrPPS)
	case res0&0x0F != req0&0x0F:
		return 0, fmt.Errorf("%w: T=%d for T=%d", ErrPPS, res0&0x0F, req0&0x0F)
	case res0&0xF0&^req0 != 0:
		return 0, fmt.Errorf("%w: a parameter that was not proposed", ErrPPS)
	case res0&0x60 != 0: // PPS2, PPS3 are never proposed here
		return 0, fmt.Errorf("%w: a reserved parameter", ErrPPS)
	case res0&ppsHasPPS1 == 0:
		if len(response) != 3 {
			return 0, fmt.Errorf("%w: %d bytes", ErrPPS, len(response))
		}
		return DefaultFiDi, nil
	case len(response) != 4 || response[2] != request[2]:
		return 0, fmt.Errorf("%w: another PPS1", ErrPPS)
	}
	return response[2], nil
}
