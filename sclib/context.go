package sclib

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"
)

// disconnectWait bounds what Release and Disconnect, which take no context, wait for a reader (policy).
const disconnectWait = 10 * time.Second

// A Context is a program's access to the readers of one backend (SCardEstablishContext). Its methods, and those of its cards,
// may be called from several goroutines.
type Context struct {
	backend  Backend
	released context.Context // ended by Release
	stop     context.CancelFunc

	mu           sync.Mutex
	calls        sync.WaitGroup // calls that are inside; Release waits for them
	slots        []*slot        // in the backend's order
	readerEvents uint16         // readers that came or went; wraps

	listing sync.Mutex // one Backend.Readers at a time
}

// New makes a Context. The backend belongs to it from then on.
func New(backend Backend) *Context {
	c := &Context{backend: backend}
	c.released, c.stop = context.WithCancel(context.Background())
	return c
}

// enter registers a call; every enter without error needs a leave.
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

func (c *Context) leave() { c.calls.Done() }

// ListReaders gives the names of the readers that are attached. Names are unique, and [Printable].
// ErrNoReaders says that there is none.
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

// Connect connects to the card in a reader, or with ShareDirect to the reader alone (SCardConnect). The card gets power if it has
// none and one of the preferred protocols is negotiated. ErrSharing says that another handle or program is in the way; a
// transaction of another handle is waited for.
func (c *Context) Connect(ctx context.Context, reader string, mode ShareMode, preferred Protocol) (*Card, error) {
	const operation = "connect to"
	if !mode.valid() || mode != ShareDirect && preferred&(ProtocolAny|ProtocolRaw) == 0 {
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
		return nil, failed(operation, reader, ErrSharing) // at once: their transaction is no reason to wait
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

// Release ends the context (SCardReleaseContext): cards that are still connected are disconnected, and reset if their transaction
// was open. It waits for calls that are inside the reader; calls that only wait for their turn end with ErrServiceStopped.
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

// list brings the slots up to date with the readers that are attached, and gives them.
func (c *Context) list(ctx context.Context) ([]*slot, error) {
	c.listing.Lock()
	defer c.listing.Unlock()
	readers, err := c.backend.Readers(ctx)
	if err != nil {
		return nil, withCode(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// Those that stay keep their names; only then can the names of the others be chosen.
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
			slots[i] = &slot{context: c, reader: reader, name: unique(Printable(reader.Name()), taken), cards: make(map[*Card]struct{})}
			taken[slots[i].name] = true
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

// ofReader finds the slot of a reader that has not gone meanwhile.
func ofReader(slots []*slot, reader Reader) *slot {
	for _, s := range slots {
		if s.reader == reader && !s.gone.Load() {
			return s
		}
	}
	return nil
}

func find(slots []*slot, name string) *slot {
	for _, s := range slots {
		if s.name == name {
			return s
		}
	}
	return nil
}

// unique numbers a name that is taken: "Reader", "Reader (2)".
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
