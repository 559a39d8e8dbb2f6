package gate

// A fatalReport reduces the Go runtime's report of a fatal error, which is a page for each
// goroutine, to the reason and the function. It is filled in the dispatcher: it allocates nothing.
type fatalReport struct {
	reason, function text
	line             text // the line that is being printed
	inStack          bool // lines are functions of the goroutine that failed
}

// text is the beginning of a line in printable ASCII, as much as there is room for.
type text struct {
	b [120]byte // policy
	n int
}

func (t *text) put(c byte) {
	if c < ' ' && c != '\t' || c > '~' {
		c = '?'
	}
	if t.n < len(t.b) {
		t.b[t.n] = c
		t.n++
	}
}

func (t *text) set(s string) {
	t.n = 0
	for i := range len(s) {
		t.put(s[i])
	}
}

func (t *text) begins(with string) bool {
	return t.n >= len(with) && string(t.b[:len(with)]) == with
}

// put takes the next byte that the runtime prints.
func (r *fatalReport) put(c byte) {
	if c != '\n' {
		r.line.put(c)
		return
	}
	l := &r.line
	switch {
	case r.reason.n == 0:
		if l.begins("fatal error: ") || l.begins("panic: ") {
			r.reason = *l
		}
	case l.begins("goroutine "):
		r.inStack = true
	case r.inStack && r.function.n == 0 && l.isFunction():
		r.function = *l
		r.function.n = l.arguments()
	}
	l.n = 0
}

// isFunction reports whether a line of a stack trace names a function outside of the runtime.
func (t *text) isFunction() bool {
	others := []string{"\t", "runtime.", "internal/", "panic(", "sync.", "created by "}
	for _, other := range others {
		if t.begins(other) {
			return false
		}
	}
	return t.arguments() > 0
}

// arguments returns where the arguments of the function in a line of a stack trace begin, 0 if it
// has none.
func (t *text) arguments() int {
	for i := t.n - 1; i > 0; i-- {
		if t.b[i] == '(' {
			return i
		}
	}
	return 0
}

// write writes the report as one line: reason and function.
func (r *fatalReport) write(program string, after string, put func(c byte)) {
	writeText(program, put)
	writeText(": ", put)
	if r.reason.n == 0 {
		r.reason.set("the program has ended")
	}
	r.reason.write(put)
	if r.function.n > 0 {
		writeText(" in ", put)
		r.function.write(put)
	}
	writeText(after, put)
	put('\n')
}

func (t *text) write(put func(c byte)) {
	for _, c := range t.b[:t.n] {
		put(c)
	}
}

func writeText(s string, put func(c byte)) {
	for i := range len(s) {
		put(s[i])
	}
}
