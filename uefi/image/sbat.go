package image

import (
	"errors"
	"fmt"
)

// SBAT is the image's entry for generation-based revocation: shim refuses a component whose
// generation is below the one that the machine asks for ([SBAT]).
type SBAT struct {
	Component  string // name that generations are counted under
	Generation uint   // from 1; raised when a release closes a hole that must not be booted again
	Vendor     string
	Package    string
	Version    string
	URL        string // of the package
}

// sbatHeader is the entry for the format itself, first in every .sbat section ([SBAT], "SBAT
// Format").
const sbatHeader = "sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md\n"

// encode returns the contents of the .sbat section: comma-separated ASCII lines. shim's parser
// has no quoting and refuses an empty field.
func (s SBAT) encode() ([]byte, error) {
	if s.Generation == 0 {
		return nil, errors.New("generations start at 1")
	}
	fields := []struct{ name, value string }{
		{"component", s.Component},
		{"generation", fmt.Sprint(s.Generation)},
		{"vendor", s.Vendor},
		{"package", s.Package},
		{"version", s.Version},
		{"URL", s.URL},
	}
	b := []byte(sbatHeader)
	for i, f := range fields {
		if f.value == "" {
			return nil, fmt.Errorf("%s is empty", f.name)
		}
		for _, c := range []byte(f.value) {
			if c < ' ' || c > '~' || c == ',' || c == '"' {
				return nil, fmt.Errorf("%s %q holds a character that the format does not allow",
					f.name, f.value)
			}
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, f.value...)
	}
	return append(b, '\n'), nil
}
