//go:build tamago

package uefi

import "tamaccid/baremetal/cpu/amd64"

// counterRate returns the rate of gate.Counter in Hz, 0 when the processor does not report it.
func counterRate() uint64 { return amd64.TSCRate() }

var processorEntropy amd64.Entropy

func initProcessorEntropy() { processorEntropy = amd64.FindEntropy() }

// randomWord returns 64 bits of the processor's generator. ok is false when there is none, or it
// fails.
func randomWord() (v uint64, ok bool) { return processorEntropy.Word() }
