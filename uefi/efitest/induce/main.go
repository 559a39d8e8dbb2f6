//go:build tamago && induced

// induce makes the driver's test build fail, and says what the application
// gets to see: induce FAILURE. It ends with success when the call came back
// with an error, and the calls behind it worked or failed at once.
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
	"panic":  {driver.InducePanic, uefi.DeviceError, true},
	"nil":    {driver.InduceNil, uefi.DeviceError, true},
	"wait":   {driver.InduceWait, uefi.Timeout, true},
	"wedge":  {driver.InduceWedge, uefi.DeviceError, false},
	"fatal":  {driver.InduceFatal, uefi.DeviceError, false},
	"memory": {driver.InduceMemory, uefi.DeviceError, false},
	"stack":  {driver.InduceStack, uefi.DeviceError, false},
	"wild":   {driver.InduceWild, uefi.InvalidParameter, true},
	"gp":     {driver.InduceGP, uefi.InvalidParameter, true},
	"copy":   {driver.InduceCopy, uefi.InvalidParameter, true},
	"nested": {driver.InduceNested, uefi.InvalidParameter, true},
}

// atOnce is what "at once" means here: less than the shortest wait of the driver's, which is 10 s in its test build, and enough on
// a busy machine (policy).
const atOnce = 5 * time.Second

func main() {
	if len(os.Args) != 2 {
		fmt.Println("usage: induce panic|nil|wait|wedge|fatal|memory|stack|wild|gp|copy|nested")
		os.Exit(1)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Printf("induce %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
	fmt.Printf("induce %s: as it should be\n", os.Args[1])
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
