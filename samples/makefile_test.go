//go:build !tamago

package samples

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestTestsInTheMakefileExist checks the names of tests in the Makefile. The go command runs no test
// for a name that does not exist, and reports success.
func TestTestsInTheMakefileExist(t *testing.T) {
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	declared := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err = walkGo(os.DirFS(".."), func(name string, source []byte) error {
		if strings.HasSuffix(name, "_test.go") {
			for _, m := range function.FindAllSubmatch(source, -1) {
				declared[string(m[1])] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	runs := regexp.MustCompile(`-run '\^\(?([\w|]+)\)?\$\$'`).FindAllSubmatch(makefile, -1)
	if len(runs) == 0 {
		t.Fatal("the Makefile runs no test by its name")
	}
	for _, m := range runs {
		for name := range strings.SplitSeq(string(m[1]), "|") {
			if !declared[name] {
				t.Errorf("the Makefile runs %s, which does not exist", name)
			}
		}
	}
}
