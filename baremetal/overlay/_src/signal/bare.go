package signal

// TamaGo packages call Relay and Waiting to deliver an interrupt as a signal. A machine that runs
// with interrupts off delivers none.

// Relay reports that no signal was delivered.
func Relay(sig uint32) bool { return false }

// Waiting reports that the receiver is always ready.
func Waiting() bool { return true }
