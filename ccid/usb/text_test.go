package usb

import (
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	for _, c := range []struct {
		name string
		in   string
		size int
		want string
	}{
		{name: "letters of several scripts, digits, symbols", in: "Łódź 读卡器 №1 ©",
			want: "Łódź 读卡器 №1 ©"},
		{name: "a letter with a combining mark", in: "e\u0301", want: "e\u0301"},
		{name: "C0 controls", in: "a\x00b\x1b[2Jc\td\r\ne\x7ff", want: "a b [2Jc d e f"},
		{name: "C1 controls: CSI, NEL", in: "a\u009b2Jb\u0085c", want: "a 2Jb c"},
		{name: "direction of text", in: "a\u202eb\u202ac\u2066d\u200fe", want: "a b c d e"},
		{name: "byte order mark, zero width space and joiner, soft hyphen",
			in: "\ufeffa\u200bb\u200dc\u00add", want: "a b c d"},
		{name: "line and paragraph separators", in: "a\u2028b\u2029c", want: "a b c"},
		{name: "spaces other than the space", in: "a\u00a0b\u3000c\u2003d", want: "a b c d"},
		{name: "private use", in: "a\ue000b\U000f0000c", want: "a b c"},
		{name: "unassigned", in: "a\u0378b\uffffc\U0003fffdd", want: "a b c d"},
		{name: "surrogates as UTF-8", in: "a\xed\xa0\x80b", want: "a b"},
		{name: "broken UTF-8 and its replacement", in: "a\xffb\ufffdc", want: "a b c"},
		{name: "nothing that can be shown", in: "\u202e\u009b\ufeff", want: ""},
		{name: "nothing", in: "", want: ""},
		{name: "longer than there is room", in: "abcdef", size: 4, want: "abcd"},
		{name: "cut within a character", in: "abc€", size: 5, want: "abc"},
		{name: "cut behind a space", in: "abc def", size: 4, want: "abc"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.size == 0 {
				c.size = 100
			}
			if got := Text(c.in, c.size); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
	if n := len(Text(strings.Repeat("漢", 1<<16), 64)); n != 63 {
		t.Errorf("%d bytes of a long text", n)
	}
}
