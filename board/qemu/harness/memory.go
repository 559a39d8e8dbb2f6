//go:build linux && !tamago

package harness

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// SecretWindow is the length of the pieces of a secret that FindInMemory looks for: that of a
// general register, which is the smallest place that a copy leaves a piece in.
const SecretWindow = 8

// A Trace is a run of bytes in the machine's memory that is a piece of a secret.
type Trace struct {
	Address uint64 // physical
	Size    int
	// Around is what lies there, with 16 bytes before it and behind it.
	Around []byte
}

// End is the address behind the trace.
func (t Trace) End() uint64 { return t.Address + uint64(t.Size) }

// String is the address and the bytes around the trace.
func (t Trace) String() string {
	return fmt.Sprintf("%#x, %d bytes: % X", t.Address, t.Size,
		t.Around)
}

// FindInMemory stops the machine, searches its memory at each address for each piece of
// SecretWindow bytes of the secrets, and continues the machine. Pieces that overlap or touch are
// one Trace. Devices' memory and the processor's registers are not searched.
func (m *Machine) FindInMemory(ctx context.Context, secrets ...[]byte) ([]Trace, error) {
	if most := m.config.platform.lowMemory; m.config.Memory > most {
		return nil, fmt.Errorf("qemu: a search of %d MiB, %d at most", m.config.Memory, most)
	}
	path := filepath.Join(m.dir, "memory")
	defer os.Remove(path)
	if err := m.saveMemory(ctx, path); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("qemu: %w", err)
	}
	defer f.Close()
	memory, err := syscall.Mmap(int(f.Fd()), 0, m.config.Memory<<20, syscall.PROT_READ,
		syscall.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("qemu: %w", err)
	}
	defer syscall.Munmap(memory)
	return findSecrets(memory, secrets...)
}

func (m *Machine) saveMemory(ctx context.Context, path string) (err error) {
	if err := m.Monitor.Run(ctx, "stop", nil, nil); err != nil {
		return err
	}
	defer func() {
		if again := m.Monitor.Run(ctx, "cont", nil, nil); err == nil {
			err = again
		}
	}()
	return m.Monitor.Run(ctx, "pmemsave",
		map[string]any{"val": 0, "size": m.config.Memory << 20, "filename": path}, nil)
}

// findSecrets is FindInMemory in a copy of the memory.
func findSecrets(memory []byte, secrets ...[]byte) ([]Trace, error) {
	pieces := make(map[uint64]bool)
	var starts [1 << 16]bool // by the first two bytes, which rule out nearly all addresses
	for _, s := range secrets {
		if len(s) < SecretWindow {
			return nil, fmt.Errorf("qemu: a secret of %d bytes, %d at least", len(s), SecretWindow)
		}
		for i := range len(s) - SecretWindow + 1 {
			v := binary.LittleEndian.Uint64(s[i:])
			pieces[v], starts[uint16(v)] = true, true
		}
	}
	const around = 16
	var found []Trace
	for i := range len(memory) - SecretWindow + 1 {
		b := memory[i : i+SecretWindow]
		if !starts[binary.LittleEndian.Uint16(b)] || !pieces[binary.LittleEndian.Uint64(b)] {
			continue
		}
		if n := len(found) - 1; n >= 0 && uint64(i) <= found[n].End() {
			found[n].Size = i + SecretWindow - int(found[n].Address)
			continue
		}
		found = append(found, Trace{Address: uint64(i), Size: SecretWindow})
	}
	for n := range found {
		t := &found[n]
		from, to := max(0, int(t.Address)-around), min(len(memory), int(t.End())+around)
		t.Around = slices.Clone(memory[from:to])
	}
	return found, nil
}
