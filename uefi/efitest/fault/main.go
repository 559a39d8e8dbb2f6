//go:build tamago && faultinjection

// Command fault makes the driver's fault injection build fail, and checks the effect on an
// application: fault FAILURE. It ends with success when the call returned the expected error, and
// the calls after it succeeded or failed at once.
package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	_ "tamaccid/board/uefi"
	"tamaccid/uefi"
	"tamaccid/uefi/driver"
	"tamaccid/uefi/smartcard"
)

var failures = map[string]struct {
	code     uint32
	want     uefi.Status
	survives bool // later calls work again
}{
	"panic":  {driver.FaultPanic, uefi.DeviceError, true},
	"nil":    {driver.FaultNil, uefi.DeviceError, true},
	"wait":   {driver.FaultWait, uefi.Timeout, true},
	"wedge":  {driver.FaultWedge, uefi.DeviceError, false},
	"fatal":  {driver.FaultFatal, uefi.DeviceError, false},
	"memory": {driver.FaultMemory, uefi.DeviceError, false},
	"stack":  {driver.FaultStack, uefi.DeviceError, false},
	"wild":   {driver.FaultWild, uefi.InvalidParameter, true},
	"gp":     {driver.FaultGP, uefi.InvalidParameter, true},
	"copy":   {driver.FaultCopy, uefi.InvalidParameter, true},
	"nested": {driver.FaultNested, uefi.InvalidParameter, true},
}

// atOnce is the time in which a call must fail: less than the shortest wait of the driver, 10 s in
// its fault injection build, and enough on a busy machine (policy).
const atOnce = 5 * time.Second

func main() {
	if len(os.Args) != 2 {
		fmt.Println("usage: fault panic|nil|wait|wedge|fatal|memory|stack|wild|gp|copy|nested")
		os.Exit(1)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Printf("fault %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
	fmt.Printf("fault %s: passed\n", os.Args[1])
}

func run(name string) error {
	f, ok := failures[name]
	if !ok {
		return errors.New("no such failure")
	}
	readers, err := smartcard.Readers()
	if err != nil || len(readers) == 0 {
		return fmt.Errorf("no reader: %v", err)
	}
	r := readers[0]
	if _, err := r.Control(f.code, nil, make([]byte, 16)); !errors.Is(err, f.want) {
		return fmt.Errorf("error %v, want %v", err, f.want)
	}
	start := time.Now()
	_, err = r.Connect(smartcard.AccessCard, smartcard.ColdReset, smartcard.T0|smartcard.T1)
	switch {
	case f.survives && err != nil:
		return fmt.Errorf("connect afterwards: %v", err)
	case f.survives:
		return r.Disconnect(smartcard.NoReset)
	case !errors.Is(err, uefi.DeviceError):
		return fmt.Errorf("connect afterwards: error %v, want %v", err, uefi.DeviceError)
	case time.Since(start) > atOnce:
		return fmt.Errorf("connect afterwards took %v", time.Since(start))
	}
	return nil
}
