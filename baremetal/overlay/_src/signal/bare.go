package signal

// Relay and Waiting are what TamaGo packages ask of os/signal: the delivery of
// an interrupt as a signal. A machine that runs with interrupts off has none.

// Relay reports that no signal was delivered.
func Relay(sig uint32) bool { return false }

// Waiting reports that the receiver is always ready.
func Waiting() bool { return true }
