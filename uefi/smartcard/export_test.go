//go:build !tamago

package smartcard

// Keeps reports whether the Reader keeps a part of an answer.
func (r *Reader) Keeps() bool { return *r.answer != [maxResponse]byte{} }
