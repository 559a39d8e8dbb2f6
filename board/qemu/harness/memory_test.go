//go:build linux && !tamago

package harness

import (
	"bytes"
	"testing"
)

func TestSecretsAreFound(t *testing.T) {
	secret := []byte("0123456789abcdef")
	memory := bytes.Repeat([]byte{0xEE}, 4096)
	copy(memory, secret)                // at the first address
	copy(memory[1001:], secret[3:11])   // a register's worth, at an odd address
	copy(memory[2000:], secret[:7])     // less
	copy(memory[3000:], secret[:8])     // two pieces that touch
	copy(memory[3008:], secret[8:])     //
	copy(memory[4096-8:], secret[:8])   // at the last address
	copy(memory[3500:], "other-secret") // of another secret
	found, err := findSecrets(memory, secret, []byte("other-secret"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Trace{{Address: 0, Size: 16}, {Address: 1001, Size: 8}, {Address: 3000, Size: 16},
		{Address: 3500, Size: 12}, {Address: 4088, Size: 8}}
	if len(found) != len(want) {
		t.Fatalf("found %v", found)
	}
	for i, w := range want {
		if f := found[i]; f.Address != w.Address || f.Size != w.Size || !bytes.Contains(f.Around,
			memory[w.Address:w.End()]) {
			t.Errorf("found %v, want %v", f, w)
		}
	}
	if _, err := findSecrets(memory, secret[:7]); err == nil {
		t.Error("a secret that is too short was looked for")
	}
}
