package apdu

import (
	"errors"
	"fmt"
)

// ErrShortBuffer is wrapped by every *ShortBufferError.
var ErrShortBuffer = errors.New("ccid: buffer too small")

// ShortBufferError reports that a response does not fit into the caller's buffer. The command has
// been executed.
type ShortBufferError struct{ Need int } // length of the response, in bytes

// Error has the length that was needed.
func (e *ShortBufferError) Error() string {
	return fmt.Sprintf("%v: %d bytes needed", ErrShortBuffer, e.Need)
}

// Unwrap makes the error ErrShortBuffer.
func (e *ShortBufferError) Unwrap() error { return ErrShortBuffer }

// Response collects a response APDU, which comes in parts, in the caller's buffer. What does not
// fit is counted and dropped.
type Response struct {
	buf []byte
	n   int
}

// ResponseIn returns an empty response in buf.
func ResponseIn(buf []byte) Response { return Response{buf: buf} }

// Append adds a part.
func (r *Response) Append(part ...byte) {
	if r.n < len(r.buf) {
		copy(r.buf[r.n:], part)
	}
	r.n += len(part)
}

// Len is the length so far, whether it fits or not.
func (r *Response) Len() int { return r.n }

// Reset drops what has been collected.
func (r *Response) Reset() { r.n = 0 }

// End returns the length of the whole response, or *ShortBufferError.
func (r *Response) End() (int, error) {
	if r.n > len(r.buf) {
		return 0, &ShortBufferError{Need: r.n}
	}
	return r.n, nil
}
