//go:build tamago

package q35

import (
	"os"

	"github.com/u-root/u-root/pkg/shlex"
)

// os.Args is a name and the words of the kernel command line, in which the program's name is
// missing.
func init() {
	os.Args = append(os.Args[:1:1], shlex.Argv(string(machineInfo.cmdline[:machineInfo.length]))...)
}
