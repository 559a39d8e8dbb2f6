package native

import (
	"context"
	"sync/atomic"

	"tamaccid/ccid"
)

// A reader with an interrupt endpoint reports the insertion and removal of cards (CCID 1.1, 6.3.1).
// Each of its slots has a goroutine that waits for that, and wakes GetStatusChange, as long as the
// endpoint is read. Other readers must be asked, which sclib does while GetStatusChange waits, and
// at no other time.

// Changed implements sclib.Notifier.
func (b *Backend) Changed() (changed <-chan struct{}, all bool) {
	changed = b.changes.Next()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.attached {
		if int(a.watched.Load()) < len(a.slots) {
			return changed, false
		}
	}
	return changed, true
}

// watch wakes GetStatusChange for each change in a slot, until its reader has gone or its
// notifications are not read any more. watched counts the slots that are watched.
func (b *Backend) watch(s *ccid.Slot, watched *atomic.Int32) {
	for n := uint32(0); ; {
		var err error
		if n, err = s.WaitNotified(context.Background(), n); err != nil {
			watched.Add(-1)
			b.changes.Send() // after that GetStatusChange asks the reader
			return
		}
		b.changes.Send()
	}
}
