//go:build !tamago

package usbhost_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// noImports resolves no import: references within the package do not depend on other packages.
type noImports struct{}

func (noImports) Import(path string) (*types.Package, error) {
	return types.NewPackage(path, filepath.Base(path)), nil
}

// TestFilesUseOnlyFilesAboveThem compares the references between the files of the package with the
// list in doc.go. References through an interface are not counted, nor those of a test.
func TestFilesUseOnlyFilesAboveThem(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	place := map[string]int{}
	for i, m := range regexp.MustCompile(`(?m)^//\t(\w+\.go)`).FindAllSubmatch(doc, -1) {
		place[string(m[1])] = i + 1
	}
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range names {
		if name == "doc.go" || strings.HasSuffix(name, "_test.go") {
			continue
		}
		if place[name] == 0 {
			t.Errorf("doc.go does not list %s", name)
		}
		f, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	if len(place) != len(files) {
		t.Errorf("doc.go lists %d files, the package has %d", len(place), len(files))
	}
	uses := map[*ast.Ident]types.Object{}
	config := types.Config{Importer: noImports{}, Error: func(error) {}}
	pkg, _ := config.Check("usbhost", fset, files, &types.Info{Uses: uses})
	counted := map[[2]string]bool{}
	for ident, object := range uses {
		local := object.Parent() != nil && object.Parent() != pkg.Scope()
		if object.Pkg() != pkg || local {
			continue
		}
		user, used := fset.Position(ident.Pos()).Filename, fset.Position(object.Pos()).Filename
		counted[[2]string{user, used}] = true
		if place[user] < place[used] {
			t.Errorf("%s uses %s of %s, which is below it", user, object.Name(), used)
		}
	}
	if len(counted) < len(files) {
		t.Errorf("only %d references between files were found", len(counted))
	}
}
