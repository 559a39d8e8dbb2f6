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
		{name: "an answer", n: len(secret)},
		{name: "an empty answer", n: 0},
		{name: "a failed exchange has no answer", n: 0, error: ErrComm, want: ErrComm},
		{name: "a failed exchange with the length that was needed", n: 17,
			error: ErrInsufficientBuffer, want: ErrInsufficientBuffer},
		{name: "a backend that returns a negative length", n: -1, want: ErrInternal},
		{name: "a backend that returns more than the buffer holds", n: 17, want: ErrInternal},
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
			if test.want == nil && !bytes.Equal(answer, secret[:test.n]) || test.want != nil &&
				answer != nil {
				t.Errorf("got %q", answer)
			}
			if !bytes.Equal(s.room, make([]byte, len(s.room))) {
				t.Errorf("the room was not wiped: %q", s.room[:16])
			}
		})
	}
}

// TestAnswersAreTheCallers: later exchanges, and what callers append to an answer, do not change
// other answers.
func TestAnswersAreTheCallers(t *testing.T) {
	s := new(slot)
	var answers [][]byte
	exchanges := 0
	for range 3 * answersRoom / MaxResponse {
		for _, n := range []int{0, 1, 2, 258, MaxResponse} {
			answer, err := s.answer(MaxResponse, func(out []byte) (int, error) {
				exchanges++
				for i := range out[:n] {
					out[i] = byte(exchanges)
				}
				return n, nil
			})
			if err != nil || len(answer) != n {
				t.Fatalf("%d bytes, %v", len(answer), err)
			}
			answers = append(answers, answer)
		}
	}
	for _, answer := range answers {
		_ = append(answer, 0xFF)
	}
	for i, answer := range answers {
		if !bytes.Equal(answer, bytes.Repeat([]byte{byte(i + 1)}, len(answer))) {
			t.Errorf("answer %d of %d bytes has changed", i, len(answer))
		}
	}
}

func TestObserve(t *testing.T) {
	const present = CardPresent | CardPowered
	a, b := []byte{0x3B, 0x00}, []byte{0x3B, 0x01, 0x02}
	seen := func(state CardState, atr []byte) ReaderStatus {
		return ReaderStatus{State: state, ATR: atr}
	}
	mute := ReaderStatus{State: CardPresent | CardSwallowed, Mute: true}
	tests := []struct {
		name             string
		seen             []ReaderStatus
		events, removals int
		atr              []byte
		mute             bool
	}{
		{"the first look is no event", []ReaderStatus{seen(present, a)}, 0, 0, a, false},
		{"an insertion", []ReaderStatus{seen(CardAbsent, nil), seen(present, a)}, 1, 0, a, false},
		{"a removal", []ReaderStatus{seen(present, a), seen(CardAbsent, nil)}, 1, 1, nil, false},
		{"the same card twice", []ReaderStatus{seen(present, a), seen(present, a)}, 0, 0, a, false},
		{"another card in its place", []ReaderStatus{seen(present, a), seen(present, b)}, 2, 1, b,
			false},
		{"a card that loses power keeps its ATR",
			[]ReaderStatus{seen(present, a), seen(CardPresent, nil)}, 0, 0, a, false},
		{"another card that gets power later",
			[]ReaderStatus{seen(present, a), seen(CardPresent, nil),
				seen(present, b)}, 2, 1, b, false},
		{"a reader that reports no state for a time",
			[]ReaderStatus{seen(present, a), seen(CardUnknown, nil),
				seen(present, a)}, 0, 0, a, false},
		{"a removal while the reader reports no state",
			[]ReaderStatus{seen(present, a), seen(CardUnknown, nil),
				seen(CardAbsent, nil)}, 1, 1, nil, false},
		{"the ATR of the card before is forgotten",
			[]ReaderStatus{seen(present, a), seen(CardAbsent, nil),
				seen(CardPresent, nil)}, 2, 1, nil, false},
		{"a card that the backend reports mute", []ReaderStatus{mute}, 0, 0, nil, true},
		{"a mute card that a handle connects to",
			[]ReaderStatus{mute, seen(present|CardSpecific, nil)}, 0, 0, nil, false},
		{"a mute card that has an ATR later", []ReaderStatus{mute, seen(present, a)}, 0, 0, a,
			false},
		{"a mute card that has power", []ReaderStatus{mute, seen(present, nil)}, 0, 0, nil, true},
		{"a mute card that is removed",
			[]ReaderStatus{mute, seen(CardAbsent, nil), seen(CardPresent, nil)}, 2, 1, nil, false},
	}
	for _, test := range tests {
		s := new(slot)
		for _, look := range test.seen {
			s.observe(look)
		}
		v := s.seen()
		if int(v.events) != test.events || int(s.removals) != test.removals ||
			!bytes.Equal(v.ATR(), test.atr) ||
			v.mute != test.mute {
			t.Errorf("%s: %d events, %d removals, ATR % X, mute %v",
				test.name, v.events, s.removals, v.ATR(), v.mute)
		}
	}
}
