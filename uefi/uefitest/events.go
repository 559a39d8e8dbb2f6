//go:build !tamago

package uefitest

import (
	"time"

	"tamaccid/uefi"
	"tamaccid/uefi/internal/abi"
)

// An Event is an event (UEFI 2.11, 7.1). Its notification function is not called.
type Event struct {
	Type            uefi.EventType
	Level           uefi.TPL
	Notify, Context uintptr
	Group           uefi.GUID
	Timer           uefi.TimerDelay
	Period          time.Duration // of the timer
	due             time.Time
	signaled        bool
}

func (fw *Firmware) publishEvents() {
	fw.Table.CreateEvent = function(func(a []uintptr) uefi.Status {
		return fw.createEvent(a, 0, a[4])
	})
	fw.Table.CreateEventEx = function(func(a []uintptr) uefi.Status {
		return fw.createEvent(a, a[4], a[5])
	})
	fw.Table.CloseEvent = fw.onEvent("close event",
		func(ev uefi.Event, _ *Event, _ []uintptr) uefi.Status {
			delete(fw.Events, ev)
			return uefi.Success
		})
	fw.Table.SignalEvent = fw.onEvent("signal event",
		func(_ uefi.Event, e *Event, _ []uintptr) uefi.Status {
			fw.Signals++
			e.signaled = true
			return uefi.Success
		})
	fw.Table.CheckEvent = fw.onEvent("check event",
		func(_ uefi.Event, e *Event, _ []uintptr) uefi.Status {
			if e.Type&uefi.EventNotifySignal != 0 { // UEFI 2.11, 7.1.6
				return fw.violation(uefi.InvalidParameter, "CheckEvent of an event of type %#x",
					e.Type)
			}
			if fw.takeSignal(e) {
				return uefi.Success
			}
			return uefi.NotReady
		})
	fw.Table.SetTimer = fw.onEvent("timer", fw.setTimer)
	fw.Table.WaitForEvent = function(fw.waitForEvent)
}

// onEvent is a service for an event, which is its first argument.
func (fw *Firmware) onEvent(
	service string, f func(ev uefi.Event, e *Event, a []uintptr) uefi.Status,
) uintptr {
	return function(func(a []uintptr) uefi.Status {
		if st := fw.refused(service, 0, uefi.GUID{}); st != uefi.Success {
			return st
		}
		e := fw.Events[uefi.Event(a[0])]
		if e == nil {
			return fw.violation(uefi.InvalidParameter, "%s: there is no event %#x", service, a[0])
		}
		return f(uefi.Event(a[0]), e, a)
	})
}

// createEvent is CreateEvent and CreateEventEx (UEFI 2.11, 7.1.1, 7.1.2).
func (fw *Firmware) createEvent(a []uintptr, group, out uintptr) uefi.Status {
	if st := fw.refused("event", 0, uefi.GUID{}); st != uefi.Success {
		return st
	}
	e := &Event{Type: uefi.EventType(a[0]), Level: uefi.TPL(a[1]), Notify: a[2], Context: a[3]}
	const notifies = uefi.EventNotifyWait | uefi.EventNotifySignal
	if e.Type&notifies == notifies || e.Type&notifies != 0 &&
		(e.Level <= uefi.TPLApplication || e.Level > uefi.TPLHighLevel) ||
		e.Type == uefi.EventExitBootServices && group != 0 {
		return fw.violation(uefi.InvalidParameter, "event of type %#x at TPL %d", e.Type, e.Level)
	}
	if group != 0 {
		e.Group = *abi.At[uefi.GUID](group)
	}
	fw.next++
	fw.Events[uefi.Event(fw.next)] = e
	fw.Created = append(fw.Created, e)
	store(out, fw.next)
	return uefi.Success
}

// setTimer is SetTimer (UEFI 2.11, 7.1.7).
func (fw *Firmware) setTimer(_ uefi.Event, e *Event, a []uintptr) uefi.Status {
	const unit = 100 * time.Nanosecond
	if e.Type&uefi.EventTimer == 0 || uefi.TimerDelay(a[1]) > uefi.TimerRelative {
		return fw.violation(uefi.InvalidParameter, "SetTimer(%d) for an event of type %#x", a[1],
			e.Type)
	}
	e.Timer, e.Period = uefi.TimerDelay(a[1]), time.Duration(a[2])*unit
	e.due, e.signaled = time.Now().Add(e.Period), false
	return uefi.Success
}

// takeSignal reports whether an event is signaled, and clears it.
func (fw *Firmware) takeSignal(e *Event) bool {
	signaled := e.signaled
	if e.Timer != uefi.TimerCancel && !fw.Frozen && !time.Now().Before(e.due) {
		signaled = true
		if e.due = e.due.Add(e.Period); e.Timer == uefi.TimerRelative {
			e.Timer = uefi.TimerCancel
		}
	}
	e.signaled = false
	return signaled
}

// waitForEvent is WaitForEvent (UEFI 2.11, 7.1.5). One of the events must be signaled already.
func (fw *Firmware) waitForEvent(a []uintptr) uefi.Status {
	for i := range a[0] {
		e := fw.Events[*abi.At[uefi.Event](a[1] + i*8)]
		if e != nil && fw.takeSignal(e) {
			store(a[2], i)
			return uefi.Success
		}
	}
	return fw.violation(uefi.InvalidParameter, "WaitForEvent for events that are never signaled")
}

// Armed is how many timers are set.
func (fw *Firmware) Armed() (n int) {
	for _, e := range fw.Events {
		if e.Timer != uefi.TimerCancel {
			n++
		}
	}
	return n
}
