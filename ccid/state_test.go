package ccid

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tamaccid/ccid/internal/pipe"
)

// stateLatency is the time in which the notification of a change comes, in TestCardStateMatrix.
const stateLatency = 50 * time.Millisecond

// cardStates are the states in which each event of TestCardStateMatrix happens.
var cardStates = []struct {
	name string
	make func() cardState
}{
	{"empty", func() cardState { return cardState{slot: Absent} }},
	{"not yet seen", func() cardState { return cardState{} }},
	{"not powered", func() cardState { return cardState{slot: Inactive} }},
	{"in use", func() cardState {
		return cardState{slot: Active, session: sessionReady, protocol: T1}
	}},
	{"in use, report due", func() cardState {
		c := cardState{slot: Active, session: sessionReady, protocol: T1}
		c.report.due, c.report.until = true, time.Now().Add(stateLatency)
		return c
	}},
	{"in use, doubtful", func() cardState {
		return cardState{slot: Absent, trust: doubtful, session: sessionPowered}
	}},
	{"faulty", func() cardState {
		return cardState{slot: Active, trust: faulty, session: sessionEnded}
	}},
}

// cell is a state as TestCardStateMatrix has it: slot, trust, session, whether a report is
// expected, and the number of changes.
func cell(c *cardState) string {
	words := []string{
		[]string{"unknown", "absent", "inactive", "active"}[c.slot],
		[]string{"sure", "doubtful", "faulty"}[c.trust],
		[]string{"none", "ended", "powered", "ready"}[c.session],
	}
	switch {
	case c.report.due:
		words = append(words, "due")
	case c.expected():
		words = append(words, "possible")
	}
	if c.changes > 0 {
		words = append(words, fmt.Sprintf("+%d", c.changes))
	}
	return strings.Join(words, " ")
}

// TestCardStateMatrix has a row for each event, and a cell for each state in which it happens, in
// the order of cardStates.
func TestCardStateMatrix(t *testing.T) {
	answer := func(icc uint8, own bool) func(c *cardState) {
		return func(c *cardState) { c.answered(icc, own, true, stateLatency) }
	}
	const hostPowers, readerPowers = false, true
	notification := func(present, changed, auto bool) func(c *cardState) {
		return func(c *cardState) { c.notified(present, changed, auto) }
	}
	for _, row := range []struct {
		name  string
		event func(c *cardState)
		want  []string
	}{
		{"an answer shows an empty slot", answer(pipe.ICCAbsent, false), []string{
			"absent sure none", "absent sure none", "absent sure none +1", "absent sure ended +1",
			"absent sure ended due +1", "absent sure ended", "absent faulty ended +1",
		}},
		{"an answer shows a card without power", answer(pipe.ICCInactive, false), []string{
			"inactive sure none due +1", "inactive sure none", "inactive sure none",
			"inactive sure ended +1", "inactive sure ended due +1", "inactive sure ended due +1",
			"inactive faulty ended",
		}},
		{"the answer to IccPowerOff shows a card without power",
			answer(pipe.ICCInactive, true), []string{
				"inactive sure none due +1", "inactive sure none", "inactive sure none",
				"inactive sure none", "inactive sure none due", "inactive sure none due +1",
				"inactive faulty ended",
			}},
		{"an answer shows a card with power", answer(pipe.ICCActive, false), []string{
			"active sure none due +1", "active sure none", "active sure none",
			"active sure ready", "active sure ready due", "active sure powered due +1",
			"active faulty ended",
		}},
		{"notification: absent, the host powers cards",
			notification(false, false, hostPowers), []string{
				"absent sure none", "absent sure none", "absent sure none +1",
				"absent doubtful ready +1", "absent doubtful ready due +1",
				"absent doubtful powered",
				"absent sure ended +1",
			}},
		{"notification: absent, changed, the host powers cards",
			notification(false, true, hostPowers), []string{
				"absent sure none", "absent sure none +1", "absent sure none +1",
				"absent doubtful ready +1", "absent doubtful ready due +1",
				"absent doubtful powered",
				"absent sure ended +1",
			}},
		{"notification: absent, changed, the reader powers cards",
			notification(false, true, readerPowers), []string{
				"absent sure none", "absent sure none +1", "absent sure none +1",
				"absent sure ended +1", "absent doubtful ready due +1", "absent doubtful ended",
				"absent sure ended +1",
			}},
		{"notification: present, the host powers cards",
			notification(true, false, hostPowers), []string{
				"inactive sure none +1", "inactive sure none", "inactive sure none",
				"active sure ready", "active sure ready", "inactive doubtful powered +1",
				"active sure ended",
			}},
		{"notification: present, changed, the host powers cards",
			notification(true, true, hostPowers), []string{
				"inactive sure none +1", "inactive sure none +1", "inactive sure none +1",
				"active doubtful ready +1", "active doubtful ready", "absent doubtful powered +1",
				"inactive sure ended +1",
			}},
		{"notification: present, changed, the reader powers cards",
			notification(true, true, readerPowers), []string{
				"inactive sure none +1", "inactive sure none +1", "inactive sure none +1",
				"inactive sure ended +1", "active sure ready", "inactive doubtful ended +1",
				"inactive sure ended +1",
			}},
		{"notifications were lost, the host powers cards",
			func(c *cardState) { c.missed(hostPowers) }, []string{
				"absent sure none", "unknown sure none", "inactive sure none",
				"active doubtful ready +1", "active doubtful ready +1",
				"absent doubtful powered +1",
				"active faulty ended",
			}},
		{"notifications were lost, the reader powers cards",
			func(c *cardState) { c.missed(readerPowers) }, []string{
				"absent sure none", "unknown sure none", "inactive sure none",
				"inactive sure ended +1", "inactive sure ended +1", "inactive doubtful ended +1",
				"active faulty ended",
			}},
		{"notification: hardware error", (*cardState).failed, []string{
			"absent faulty none +1", "unknown faulty none +1", "inactive faulty none +1",
			"active faulty ended +1", "active faulty ended due +1", "absent faulty ended +1",
			"active faulty ended +1",
		}},
		{"a power-up begins", (*cardState).repaired, []string{
			"absent sure none", "unknown sure none", "inactive sure none", "active sure ready",
			"active sure ready due", "absent doubtful powered", "active sure ended",
		}},
		{"IccPowerOff was sent", (*cardState).unpowered, []string{
			"absent sure none", "unknown sure none", "inactive sure none", "active sure none",
			"active sure none due", "absent doubtful none", "active faulty none",
		}},
		{"an answer to reset was taken", (*cardState).reset, []string{
			"absent sure powered", "unknown sure powered", "inactive sure powered",
			"active sure powered", "active sure powered due", "absent doubtful powered",
			"active sure powered",
		}},
		{"a protocol was agreed", func(c *cardState) { c.ready(T0) }, []string{
			"absent sure ready", "unknown sure ready", "inactive sure ready", "active sure ready",
			"active sure ready due", "absent doubtful ready", "active faulty ready",
		}},
		{"the reader has gone", (*cardState).gone, []string{
			"unknown sure none +1", "unknown sure none +1", "unknown sure none +1",
			"unknown sure ended +1", "unknown sure ended due +1", "unknown doubtful ended +1",
			"unknown faulty ended +1",
		}},
		{"latency passes", func(*cardState) { time.Sleep(stateLatency) }, []string{
			"absent sure none", "unknown sure none", "inactive sure none", "active sure ready",
			"active sure ready due", "absent doubtful powered", "active faulty ended",
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for i, start := range cardStates {
					c := start.make()
					c.report.done = make(chan struct{})
					row.event(&c)
					if got := cell(&c); got != row.want[i] {
						t.Errorf("%s: %s, want %s", start.name, got, row.want[i])
					}
				}
			})
		})
	}
}
