package amd64

import (
	"testing"
	"time"
)

func TestProcessorHasAVendor(t *testing.T) {
	if _, b, c, d := CPUID(leafHighest, 0); b|c|d == 0 {
		t.Error("no vendor")
	}
}

func TestTheTimeStampCounterAdvances(t *testing.T) {
	before := TSC()
	time.Sleep(time.Millisecond)
	if after := TSC(); after <= before {
		t.Errorf("%d, then %d", before, after)
	}
}

func TestWordsDifferWhereThereIsAGenerator(t *testing.T) {
	e := FindEntropy()
	if e == (Entropy{}) {
		if v, ok := e.Word(); ok {
			t.Errorf("%#x without a generator", v)
		}
		return
	}
	seen := map[uint64]bool{}
	for range 8 {
		v, ok := e.Word()
		if !ok || seen[v] {
			t.Fatalf("%#x (%v) after %v", v, ok, seen)
		}
		seen[v] = true
	}
}

func TestWithoutAGeneratorThereIsNoWord(t *testing.T) {
	if v, ok := (Entropy{}).Word(); ok {
		t.Errorf("%#x without a generator", v)
	}
}
