package native

import (
	"context"

	"tamaccid/ccid"
)

// A reader with an interrupt endpoint reports the insertion and removal of cards (CCID 1.1, 6.3.1).
// Each of its slots has a goroutine that waits for that, and wakes GetStatusChange. Other readers
// must be asked, which sclib does while GetStatusChange waits, and at no other time.

// Changed implements sclib.Notifier.
func (b *Backend) Changed() (changed <-chan struct{}, all bool) {
	changed = b.changes.Next()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.attached {
		if !a.reader.Listened() {
			return changed, false
		}
	}
	return changed, true
}

// watch wakes GetStatusChange for each change in a slot, until its reader has gone.
func (b *Backend) watch(s *ccid.Slot) {
	for n := uint32(0); ; {
		var err error
		n, err = s.WaitChange(context.Background(), n)
		b.changes.Send()
		if err != nil {
			return
		}
	}
}
