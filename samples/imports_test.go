//go:build !tamago

package samples

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

// A room is a part of the tree with one rule for its imports. A folder belongs to the room with the
// longest name that is its beginning.
type room struct {
	name string
	rule string
	rows []row
}

// A row holds what the Go files in one folder may import. Lists are separated by spaces. They name
// folders of this module, packages of other modules, and those packages of the standard library
// that match restricted; all other packages of the standard library are free. The pattern "x/..."
// stands for x and everything below it, and "x/*" for the folders directly in x.
type row struct {
	folder  string // path in the module, or a pattern "x/*" for folders of one kind
	imports string // for all files
	tests   string // for _test.go files beyond that
}

// An exception allows one import that the row of a folder does not allow.
type exception struct {
	folder  string
	imports string
	until   string // the change after which the exception goes
}

// restricted are the packages of the standard library through which code depends on an operating
// system or on the machine. Tests may import them.
const restricted = "C net os/... runtime/goos syscall unsafe"

// matches reports whether one pattern of a list stands for name.
func matches(list, name string) bool {
	return slices.ContainsFunc(strings.Fields(list), func(pattern string) bool {
		if parent, ok := strings.CutSuffix(pattern, "/..."); ok {
			return name == parent || strings.HasPrefix(name, parent+"/")
		}
		if parent, ok := strings.CutSuffix(pattern, "/*"); ok {
			return path.Dir(name) == parent
		}
		return name == pattern
	})
}

// A goFile is the part of a Go file that the table is compared with.
type goFile struct {
	name    string // path in the module
	imports []string
}

// walkGo calls visit with the path and the source of all Go files of a module but those that the go
// command ignores by their folder. Build constraints are not evaluated: "go list" would leave out
// all files of other builds.
func walkGo(tree fs.FS, visit func(name string, source []byte) error) error {
	return fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if base := d.Name(); d.IsDir() {
			ignored := base == "testdata" || base[0] == '_' || base[0] == '.' && base != "."
			if ignored || name == "build" { // the Makefile's output
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		source, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		return visit(name, source)
	})
}

// goFiles returns the imports of all Go files of a module.
func goFiles(tree fs.FS) (files []goFile, err error) {
	err = walkGo(tree, func(name string, source []byte) error {
		parsed, err := parser.ParseFile(token.NewFileSet(), name, source, parser.ImportsOnly)
		if err != nil {
			return err
		}
		file := goFile{name: name}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			file.imports = append(file.imports, imported)
		}
		files = append(files, file)
		return nil
	})
	return files, err
}

// roomOf returns the room that a folder belongs to, nil without one.
func roomOf(rooms []room, folder string) (found *room) {
	for i := range rooms {
		r := &rooms[i]
		inside := folder == r.name || strings.HasPrefix(folder, r.name+"/")
		if inside && (found == nil || len(r.name) > len(found.name)) {
			found = r
		}
	}
	return found
}

// checkImports compares the imports of a module with the table. It returns one line for each
// import that is not allowed, each folder without a row, and each row and exception without use.
func checkImports(
	tree fs.FS, module string, rooms []room, exceptions []exception,
) (faults []string, err error) {
	files, err := goFiles(tree)
	if err != nil {
		return nil, err
	}
	fault := func(format string, args ...any) {
		if text := fmt.Sprintf(format, args...); !slices.Contains(faults, text) {
			faults = append(faults, text)
		}
	}
	usedRows, usedExceptions := map[string]bool{}, map[exception]bool{}

	for _, file := range files {
		folder := path.Dir(file.name)
		room := roomOf(rooms, folder)
		if room == nil {
			fault("folder %s is in no room: move it, or add a room with a rule to the table",
				folder)
			continue
		}
		n := slices.IndexFunc(room.rows, func(r row) bool { return matches(r.folder, folder) })
		if n < 0 {
			fault("folder %s has no row: add {folder: %q, imports: \"...\"} to room %q of the "+
				"table, "+
				"with imports that its rule allows\n\trule of %s: %s",
				folder, folder, room.name, room.name, room.rule)
			continue
		}
		row := room.rows[n]
		usedRows[row.folder] = true
		allowed, test := row.imports, strings.HasSuffix(file.name, "_test.go")
		if test {
			allowed += " " + row.tests
		}
		for _, imported := range file.imports {
			imported, own := strings.CutPrefix(imported, module+"/")
			first, _, _ := strings.Cut(imported, "/")
			standard := !own && !strings.Contains(first, ".")
			if standard && (test || !matches(restricted, imported)) ||
				own && imported == folder || // an external test package imports what it tests
				matches(allowed, imported) {
				continue
			}
			n := slices.IndexFunc(exceptions, func(e exception) bool {
				return e.folder == folder && e.imports == imported
			})
			if n >= 0 {
				usedExceptions[exceptions[n]] = true
				continue
			}
			fault("%s imports %s, which row %q does not allow\n\tallowed: %s\n\trule of %s: %s",
				file.name, imported, row.folder, strings.TrimSpace(allowed), room.name, room.rule)
		}
	}

	for _, room := range rooms {
		for _, row := range room.rows {
			if !usedRows[row.folder] {
				fault("row %q has no folder with Go files: delete it", row.folder)
			}
		}
	}
	for _, e := range exceptions {
		if !usedExceptions[e] {
			fault("the exception for %s, which imports %s until %s, has no use: delete it",
				e.folder, e.imports, e.until)
		}
	}
	return faults, nil
}

func TestCheckImports(t *testing.T) {
	rooms := []room{
		{name: "ccid", rule: "ccid is below.", rows: []row{
			{folder: "ccid", imports: "ccid/usb", tests: "ccid/sim/..."},
			{folder: "ccid/usb"},
		}},
		{name: "ccid/sim", rule: "The simulator is apart.", rows: []row{
			{folder: "ccid/sim/*", imports: "ccid/usb net"},
		}},
		{name: "uefi", rule: "uefi is above.",
			rows: []row{{folder: "uefi", imports: "ccid ccid/usb"}}},
	}
	for _, tt := range []struct {
		name       string
		files      map[string]string // the imports of each file that is added or changed
		exceptions []exception
		faults     []string // a part of each
	}{
		{name: "all arrows point downwards"},
		{
			name:  "an arrow is turned round",
			files: map[string]string{"ccid/reader.go": `"m/uefi"`},
			faults: []string{`ccid/reader.go imports uefi, which row "ccid" does not allow` +
				"\n\tallowed: ccid/usb\n\trule of ccid: ccid is below."},
		},
		{
			name:   "in a file of another build",
			files:  map[string]string{"ccid/reader_tamago.go": `"m/uefi"`},
			faults: []string{"ccid/reader_tamago.go imports uefi"},
		},
		{
			name:   "in an external test package",
			files:  map[string]string{"ccid/usb/usb_test.go": `"m/ccid/usb"; "m/ccid"`},
			faults: []string{"ccid/usb/usb_test.go imports ccid,"},
		},
		{
			name:   "what tests may import is imported elsewhere too",
			files:  map[string]string{"ccid/reader.go": `"m/ccid/sim/card"`},
			faults: []string{"ccid/reader.go imports ccid/sim/card"},
		},
		{
			name:   "folder that does not exist",
			files:  map[string]string{"ccid/reader.go": `"m/gone"`},
			faults: []string{"ccid/reader.go imports gone"},
		},
		{
			name:   "another module",
			files:  map[string]string{"uefi/uefi.go": `"example.org/x"`},
			faults: []string{"uefi/uefi.go imports example.org/x"},
		},
		{
			name:   "the operating system",
			files:  map[string]string{"ccid/reader.go": `"os"; "os/exec"; "errors"`},
			faults: []string{"ccid/reader.go imports os,", "ccid/reader.go imports os/exec,"},
		},
		{name: "the operating system in a test",
			files: map[string]string{"ccid/x_test.go": `"os"`}},
		{
			name:  "new folder",
			files: map[string]string{"ccid/quirk/quirk.go": ""},
			faults: []string{"folder ccid/quirk has no row: " +
				`add {folder: "ccid/quirk", imports: "..."} to room "ccid"`},
		},
		{
			name:  "new folder of a known kind",
			files: map[string]string{"ccid/sim/reader/reader.go": `"net"`},
		},
		{
			name:   "new folder at the top",
			files:  map[string]string{"ccid2/x.go": ""},
			faults: []string{"folder ccid2 is in no room"},
		},
		{
			name: "ignored folders",
			files: map[string]string{"build/x.go": "", "_old/x.go": "", ".git/x.go": "",
				"ccid/testdata/x.go": `"m/uefi"`},
		},
		{
			name:       "exception",
			files:      map[string]string{"ccid/usb/usb.go": `"m/uefi"`},
			exceptions: []exception{{folder: "ccid/usb", imports: "uefi", until: "a move"}},
		},
		{
			name:       "exception that nothing needs",
			exceptions: []exception{{folder: "ccid/usb", imports: "uefi", until: "a move"}},
			faults: []string{
				"the exception for ccid/usb, which imports uefi until a move, has no use",
			},
		},
		{
			name:   "row without a folder",
			files:  map[string]string{"ccid/sim/card/card.go": "-"},
			faults: []string{`row "ccid/sim/*" has no folder`},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			imports := map[string]string{
				"ccid/reader.go":        `"m/ccid/usb"; "errors"`,
				"ccid/reader_test.go":   `"m/ccid"; "m/ccid/sim/card"`,
				"ccid/usb/usb.go":       "",
				"ccid/sim/card/card.go": "",
				"uefi/uefi.go":          `"m/ccid"`,
			}
			maps.Copy(imports, tt.files)
			tree := fstest.MapFS{}
			for name, list := range imports {
				if list != "-" {
					source := "//go:build tamago\n\npackage p\nimport (" + list + ")\n"
					tree[name] = &fstest.MapFile{Data: []byte(source)}
				}
			}
			faults, err := checkImports(tree, "m", rooms, tt.exceptions)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.EqualFunc(faults, tt.faults, strings.Contains) {
				t.Errorf("faults: %q\nexpected: %q", faults, tt.faults)
			}
		})
	}
}
