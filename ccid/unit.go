package ccid

import (
	"slices"
	"sync"
)

// Units numbers readers for Options.Unit: each gets the lowest number that is free, so that a
// reader that is unplugged and plugged in again has its name again. The zero value is ready for
// use. The methods may be called concurrently.
type Units struct {
	mu    sync.Mutex
	taken []bool
}

// Take takes the lowest free number, from 0.
func (u *Units) Take() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := slices.Index(u.taken, false)
	if n < 0 {
		n = len(u.taken)
		u.taken = append(u.taken, false)
	}
	u.taken[n] = true
	return n
}

// Release frees a number that Take has returned.
func (u *Units) Release(n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.taken[n] = false
}
