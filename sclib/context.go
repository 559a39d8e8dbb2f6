package sclib

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"
)

// disconnectWait bounds the wait of Release and Disconnect, which take no context, for a reader
// (policy).
const disconnectWait = 10 * time.Second

// A Context is a program's access to the readers of one backend (SCardEstablishContext). Its
// methods may be called from several goroutines.
type Context struct {
	backend  Backend
	released context.Context // ended by Release
	stop     context.CancelFunc

	mu           sync.Mutex
	calls        sync.WaitGroup // calls in progress; Release waits for them
	slots        []*slot        // in the backend's order
	readerEvents uint16         // attached and detached readers; wraps

	listing sync.Mutex // one Backend.Readers at a time
	changes Signal     // what was seen of a slot has changed
}

// New returns a Context that owns the backend. The caller must call Release.
func New(backend Backend) *Context {
	c := &Context{backend: backend}
	c.released, c.stop = context.WithCancel(context.Background())
	return c
}

// enter begins a call. Without an error the caller must call leave.
func (c *Context) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return withCode(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.released.Err() != nil {
		return ErrServiceStopped
	}
	c.calls.Add(1)
	return nil
}

// leave ends a call that enter began.
func (c *Context) leave() { c.calls.Done() }

// ListReaders returns the names of the attached readers, one for each slot (SCardListReaders).
// Names are unique, and [Printable]. ErrNoReaders means that no reader is attached.
func (c *Context) ListReaders(ctx context.Context) ([]string, error) {
	if err := c.enter(ctx); err != nil {
		return nil, err
	}
	defer c.leave()
	slots, err := c.list(ctx)
	if err != nil {
		return nil, err
	}
	if len(slots) == 0 {
		return nil, ErrNoReaders
	}
	names := make([]string, len(slots))
	for i, s := range slots {
		names[i] = s.name
	}
	return names, nil
}

// Connect connects to the card in a reader, or with ShareDirect to the reader alone (SCardConnect).
// It powers the card if it has no power, and negotiates one of the preferred protocols. ErrSharing
// means that the share mode conflicts with another handle or program. Connect waits for the end of
// another handle's transaction, for at most 2 minutes. The caller must call Disconnect.
func (c *Context) Connect(
	ctx context.Context, reader string, mode ShareMode, preferred Protocol,
) (*Card, error) {
	const operation = "connect to"
	if !mode.accepts(preferred) {
		return nil, failed(operation, reader, ErrInvalidValue)
	}
	if err := c.enter(ctx); err != nil {
		return nil, failed(operation, reader, err)
	}
	defer c.leave()
	slots, err := c.list(ctx)
	if err != nil {
		return nil, failed(operation, reader, err)
	}
	s := find(slots, reader)
	if s == nil {
		return nil, failed(operation, reader, ErrUnknownReader)
	}
	if v := s.seen(); v.exclusive || mode == ShareExclusive && v.handles > 0 {
		// The end of a transaction would not resolve the conflict.
		return nil, failed(operation, reader, ErrSharing)
	}
	if err := s.acquire(ctx, nil, true); err != nil {
		return nil, failed(operation, reader, err)
	}
	defer s.release()
	if err := s.shareable(mode, nil); err != nil {
		return nil, failed(operation, reader, err)
	}
	if err := s.join(ctx, mode, preferred); err != nil {
		return nil, failed(operation, reader, err)
	}
	card := &Card{slot: s, mode: mode, resets: s.resets, removals: s.removals}
	s.cards[card] = struct{}{}
	s.count()
	return card, nil
}

// Release ends the context and closes its backend (SCardReleaseContext). It disconnects the handles
// that are still connected, and resets a card with an open transaction. It waits for exchanges in
// progress; calls that wait for a slot or for a change return ErrServiceStopped.
func (c *Context) Release() error {
	c.mu.Lock()
	if c.released.Err() != nil {
		c.mu.Unlock()
		return ErrInvalidHandle
	}
	c.stop()
	slots := c.slots
	c.slots = nil
	c.mu.Unlock()
	c.calls.Wait()

	ctx, cancel := context.WithTimeout(context.Background(), disconnectWait)
	defer cancel()
	var failures []error
	for _, s := range slots {
		if s.link == linkNone || s.gone.Load() {
			continue
		}
		disposition := LeaveCard
		if s.owner != nil {
			disposition = ResetCard
		}
		if err := s.unlink(ctx, disposition); err != nil {
			failures = append(failures, failed("disconnect from", s.name, err))
		}
	}
	return errors.Join(append(failures, c.backend.Close())...)
}

// list updates the slots to the readers that are attached, and returns them.
func (c *Context) list(ctx context.Context) ([]*slot, error) {
	c.listing.Lock()
	defer c.listing.Unlock()
	readers, err := c.backend.Readers(ctx)
	if err != nil {
		return nil, withCode(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// Readers that stay attached keep their names. New readers get names that are not in use.
	slots := make([]*slot, len(readers))
	taken := make(map[string]bool, len(readers))
	stayed := 0
	for i, reader := range readers {
		if slots[i] = ofReader(c.slots, reader); slots[i] != nil {
			taken[slots[i].name] = true
			stayed++
		}
	}
	for i, reader := range readers {
		if slots[i] == nil {
			name := unique(Printable(reader.Name()), taken)
			taken[name] = true
			slots[i] = &slot{context: c, reader: reader, name: name, cards: map[*Card]struct{}{}}
		}
	}
	for _, s := range c.slots {
		if find(slots, s.name) != s {
			s.gone.Store(true)
		}
	}
	if stayed < len(slots) || stayed < len(c.slots) {
		c.readerEvents++
	}
	c.slots = slots
	return slots, nil
}

// ofReader returns the slot of a reader that was not seen unplugged, or nil.
func ofReader(slots []*slot, reader Reader) *slot {
	for _, s := range slots {
		if s.reader == reader && !s.gone.Load() {
			return s
		}
	}
	return nil
}

// find returns the slot with a name, or nil.
func find(slots []*slot, name string) *slot {
	for _, s := range slots {
		if s.name == name {
			return s
		}
	}
	return nil
}

// unique returns a name that is not taken: "Reader", then "Reader (2)".
func unique(name string, taken map[string]bool) string {
	if name == "" {
		name = "Reader"
	}
	numbered := name
	for n := 2; taken[numbered]; n++ {
		numbered = name + " (" + strconv.Itoa(n) + ")"
	}
	return numbered
}
