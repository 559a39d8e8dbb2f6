package sclib

import (
	"bytes"
	"errors"
	"testing"
)

func TestAnswer(t *testing.T) {
	secret := []byte("secret")
	tests := []struct {
		name  string
		n     int
		error error
		want  error
	}{
		{name: "an answer is copied", n: len(secret)},
		{name: "an empty answer", n: 0},
		{name: "a failed exchange gives nothing", n: 0, error: ErrComm, want: ErrComm},
		{name: "a failed exchange with the length that was needed", n: 17, error: ErrInsufficientBuffer, want: ErrInsufficientBuffer},
		{name: "a backend that gives a negative length", n: -1, want: ErrInternal},
		{name: "a backend that gives more than there is room for", n: 17, want: ErrInternal},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := new(slot)
			answer, err := s.answer(16, func(out []byte) (int, error) {
				copy(out, secret[:min(max(test.n, 0), len(secret))])
				if test.n < 0 || test.n > len(out) || test.error != nil {
					copy(out, secret)
				}
				return test.n, test.error
			})
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if test.want == nil && !bytes.Equal(answer, secret[:test.n]) || test.want != nil && answer != nil {
				t.Errorf("got %q", answer)
			}
			if !bytes.Equal(s.scratch, make([]byte, 16)) {
				t.Errorf("the buffer was not wiped: %q", s.scratch)
			}
		})
	}
}

func TestObserve(t *testing.T) {
	const present = CardPresent | CardPowered
	a, b := []byte{0x3B, 0x00}, []byte{0x3B, 0x01, 0x02}
	type seen struct {
		state CardState
		atr   []byte
	}
	tests := []struct {
		name             string
		seen             []seen
		events, removals int
		atr              []byte
	}{
		{"the first look is no event", []seen{{present, a}}, 0, 0, a},
		{"an insertion", []seen{{CardAbsent, nil}, {present, a}}, 1, 0, a},
		{"a removal", []seen{{present, a}, {CardAbsent, nil}}, 1, 1, nil},
		{"the same card twice", []seen{{present, a}, {present, a}}, 0, 0, a},
		{"another card in its place", []seen{{present, a}, {present, b}}, 2, 1, b},
		{"a card that loses power keeps its ATR", []seen{{present, a}, {CardPresent, nil}}, 0, 0, a},
		{"another card that gets power later", []seen{{present, a}, {CardPresent, nil}, {present, b}}, 2, 1, b},
		{"a reader that does not say for a while", []seen{{present, a}, {CardUnknown, nil}, {present, a}}, 0, 0, a},
		{"a removal while the reader does not say", []seen{{present, a}, {CardUnknown, nil}, {CardAbsent, nil}}, 1, 1, nil},
		{"the ATR of the card before is forgotten", []seen{{present, a}, {CardAbsent, nil}, {CardPresent, nil}}, 2, 1, nil},
	}
	for _, test := range tests {
		s := new(slot)
		for _, look := range test.seen {
			s.observe(look.state, look.atr)
		}
		v := s.seen()
		if int(v.events) != test.events || int(s.removals) != test.removals || !bytes.Equal(v.ATR(), test.atr) {
			t.Errorf("%s: %d events, %d removals, ATR % X", test.name, v.events, s.removals, v.ATR())
		}
	}
}
