package gate

import "time"

// A budget is the time that a request has taken. A clock that is set back or forward in the middle
// of it (System Management Mode, a suspended virtual machine, a debugger) must not end the request:
// each reading of the clock adds maxStep at most, and nothing if the clock went back.
type budget struct {
	seen int64 // the clock at the last reading
	used int64
}

// maxStep is longer than any firmware function takes that Go waits for (policy).
const maxStep = int64(30 * time.Second)

func newBudget(now int64) budget { return budget{seen: now} }

// exceeds reports whether the request has taken longer than limit by now. It is called often.
func (b *budget) exceeds(now int64, limit time.Duration) bool {
	b.used += min(max(now-b.seen, 0), maxStep)
	b.seen = now
	return b.used > int64(limit)
}
