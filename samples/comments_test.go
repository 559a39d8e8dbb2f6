//go:build !tamago

package samples

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// TestExportedIdentifiersHaveComments reports each package without a doc comment, and each exported
// function, type, method, constant and variable of a package without one. A constant or variable in
// a group may have the comment of the group or a comment at the end of its line. This test is the
// count of exported identifiers without comments; it covers the files of all builds.
func TestExportedIdentifiersHaveComments(t *testing.T) {
	found, err := undocumented(os.DirFS(".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		t.Errorf("%s: %s has no comment", f.file, f.name)
	}
}

// An identifier is an exported identifier without a comment.
type identifier struct {
	file string // path in the module
	name string // Name, Type.Method or "package name"
}

// undocumented returns the exported identifiers without a doc comment, in the order of the files.
// Test files, programs, fields, and methods of types that are not exported do not count.
func undocumented(tree fs.FS) (found []identifier, err error) {
	documented, first := map[string]bool{}, map[string]identifier{} // by folder, for packages
	err = walkGo(tree, func(name string, source []byte) error {
		if strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.ParseComments)
		if err != nil {
			return err
		}
		folder := path.Dir(name)
		documented[folder] = documented[folder] || file.Doc != nil
		if _, ok := first[folder]; !ok {
			first[folder] = identifier{name, "package " + file.Name.Name}
		}
		if file.Name.Name == "main" {
			return nil
		}
		for _, declaration := range file.Decls {
			for _, missing := range withoutComment(declaration) {
				found = append(found, identifier{name, missing})
			}
		}
		return nil
	})
	for folder, p := range first {
		if !documented[folder] {
			found = append(found, p)
		}
	}
	slices.SortStableFunc(found, func(a, b identifier) int {
		return strings.Compare(a.file, b.file)
	})
	return found, err
}

// withoutComment returns the exported names of a declaration that have no comment.
func withoutComment(declaration ast.Decl) (names []string) {
	switch d := declaration.(type) {
	case *ast.FuncDecl:
		name := d.Name.Name
		if d.Recv != nil {
			receiver := baseType(d.Recv.List[0].Type)
			if !ast.IsExported(receiver) {
				return nil
			}
			name = receiver + "." + name
		}
		if d.Name.IsExported() && d.Doc == nil {
			names = append(names, name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if !s.Name.IsExported() {
					continue
				}
				if s.Doc == nil && d.Doc == nil {
					names = append(names, s.Name.Name)
				}
				if i, ok := s.Type.(*ast.InterfaceType); ok {
					for _, m := range i.Methods.List {
						for _, name := range m.Names {
							if name.IsExported() && m.Doc == nil && m.Comment == nil {
								names = append(names, s.Name.Name+"."+name.Name)
							}
						}
					}
				}
			case *ast.ValueSpec:
				for _, name := range s.Names {
					if name.IsExported() && s.Doc == nil && s.Comment == nil && d.Doc == nil {
						names = append(names, name.Name)
					}
				}
			}
		}
	}
	return names
}

// baseType returns the name of a receiver's type, without pointer and type parameters.
func baseType(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return baseType(e.X)
	case *ast.IndexExpr:
		return baseType(e.X)
	case *ast.IndexListExpr:
		return baseType(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

func TestIdentifiersWithoutComments(t *testing.T) {
	tree := fstest.MapFS{
		"a/a.go": {Data: []byte(`// Package a has a comment.
package a

func F() {}

// G has a comment.
func G() {}

type T[K any] struct{ Field int }

func (t *T[K]) M() {}

type unexported struct{}

func (unexported) M() {}

// I has a comment.
type I interface {
	M()
	// N has a comment.
	N()
}

// Constants with a comment.
const A, B = 1, 2

const (
	C = 3
	D = 4 // at the end of the line
	// E has a comment.
	E = 5
	f = 6
)

var V int
`)},
		"a/a_test.go":           {Data: []byte("package a\n\nfunc InATest() {}\n")},
		"b/b.go":                {Data: []byte("package b\n")},
		"b/c.go":                {Data: []byte("package b\n\n// X has a comment.\ntype X int\n")},
		"cmd/main.go":           {Data: []byte("// Program.\npackage main\n\nfunc Exported() {}\n")},
		"a/testdata/ignored.go": {Data: []byte("package x\n\nfunc X() {}\n")},
	}
	found, err := undocumented(tree)
	if err != nil {
		t.Fatal(err)
	}
	want := "[{a/a.go F} {a/a.go T} {a/a.go T.M} {a/a.go I.M} {a/a.go C} {a/a.go V} " +
		"{b/b.go package b}]"
	if got := fmt.Sprint(found); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
