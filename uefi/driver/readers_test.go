//go:build !tamago

package driver

import (
	"fmt"
	"testing"
	"unsafe"

	"tamaccid/uefi"
	"tamaccid/uefi/smartcard"
)

func newFake(t *testing.T, rs *readers, n int) *reader {
	return rs.new(fmt.Sprintf("Fake %d", n), &fakeSlot{t: t},
		smartcard.Table{Connect: uintptr(n + 1)})
}

func TestEveryReaderHasAnAddressOfItsOwn(t *testing.T) {
	var rs readers
	at := map[uintptr]int{}
	for n := range 200 {
		r := newFake(t, &rs, n)
		if first, ok := at[r.address()]; ok {
			t.Fatalf("readers %d and %d are both at %#x", first, n, r.address())
		}
		at[r.address()] = n
	}
	for addr, n := range at {
		r := rs.at(addr)
		if r == nil || uefi.FromUTF16(r.name) != fmt.Sprintf("Fake %d", n) ||
			uefi.At[smartcard.Table](addr).Connect != uintptr(n+1) {
			t.Errorf("at %#x is not reader %d", addr, n)
		}
	}
}

func TestInterfaceOfAReaderBeginsWithItsFunctions(t *testing.T) {
	var rs readers
	r := newFake(t, &rs, 0)
	if r.address() != uintptr(unsafe.Pointer(r)) || rs.at(r.address()) != r {
		t.Error("This does not lead to the reader")
	}
}

func TestMemoryOfUnpluggedReadersIsUsedAgainOnlyAfterManyOthers(t *testing.T) {
	var rs readers
	first := newFake(t, &rs, 0)
	at := first.address()
	rs.retire(first)
	for n := 1; n <= maxRetired; n++ {
		r := newFake(t, &rs, n)
		if r == first || r.address() == at {
			t.Fatalf("used again after %d others", n)
		}
		if got := rs.at(at); got != first || !got.gone || got.table.Connect != 1 {
			t.Fatalf("after %d others the old interface has changed", n)
		}
		rs.retire(r)
	}
	r := newFake(t, &rs, maxRetired+1)
	if r.address() != at {
		t.Errorf("the oldest retired interface was not used after %d others", maxRetired)
	}
	if r.gone || r.held != 0 || r.slot == nil ||
		uefi.FromUTF16(r.name) != fmt.Sprintf("Fake %d", maxRetired+1) || rs.at(at) != r {
		t.Errorf("something of the former reader is left: %+v", r)
	}
}

func TestPluggingInAndOutForEverTakesNoMoreMemory(t *testing.T) {
	var rs readers
	for n := range 20 * maxRetired {
		r := newFake(t, &rs, n)
		r.held = smartcard.AccessCard
		rs.retire(r)
		if r.held != 0 || r.slot != nil {
			t.Fatal("a retired reader keeps its slot")
		}
	}
	if len(rs.all) > maxRetired+1 || len(rs.retired) != len(rs.all) ||
		cap(rs.retired) > 8*maxRetired {
		t.Errorf("%d interfaces, %d retired in a list of %d", len(rs.all), len(rs.retired),
			cap(rs.retired))
	}
}

func TestReadersInUseAreNeverUsedAgain(t *testing.T) {
	var rs readers
	alive := newFake(t, &rs, 0)
	for n := range 3 * maxRetired {
		r := newFake(t, &rs, n+1)
		if r == alive {
			t.Fatal("a reader in use was given away")
		}
		rs.retire(r)
	}
	if rs.at(alive.address()) != alive || alive.gone {
		t.Error("the reader in use is lost")
	}
}
