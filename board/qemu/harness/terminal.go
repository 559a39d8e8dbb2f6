//go:build linux && !tamago

package harness

// A terminal turns what a serial terminal is sent into plain text: escape sequences are dropped,
// line ends become "\n". It may be fed in pieces of any size.
//
// States and what each byte does in them (ECMA-48, 5.3 and 5.4):
//
//	text       ESC -> escape; CR, NUL and other controls vanish; LF, TAB and the rest are text
//	escape     '[' -> sequence; 0x20-0x2F -> stays; anything else ends it
//	sequence   0x40-0x7E ends it; ESC -> escape; the rest stays, up to a bound
type terminal struct {
	state  terminalState
	length int // of the sequence so far
}

type terminalState int

const (
	stateText terminalState = iota
	stateEscape
	stateSequence
)

// maxSequence bounds an escape sequence, so that an incomplete one does not suppress the rest of
// the output (policy).
const maxSequence = 32

const escapeByte = 0x1B

// filter appends the text in raw to text.
func (t *terminal) filter(text, raw []byte) []byte {
	for _, b := range raw {
		switch t.state {
		case stateEscape:
			switch {
			case b == '[':
				t.state, t.length = stateSequence, 0
			case b >= 0x20 && b <= 0x2F:
			case b == escapeByte:
			default:
				t.state = stateText
			}
		case stateSequence:
			t.length++
			switch {
			case b == escapeByte:
				t.state = stateEscape
			case b >= 0x40 && b <= 0x7E, t.length >= maxSequence:
				t.state = stateText
			}
		default:
			switch {
			case b == escapeByte:
				t.state = stateEscape
			case b == '\n' || b == '\t' || b >= 0x20 && b != 0x7F:
				text = append(text, b)
			}
		}
	}
	return text
}
