// Package godebug has no settings: a bare machine has no environment variable GODEBUG.
package godebug

// A Setting always has its default.
type Setting struct{ name string }

// New returns the setting with this name, which begins with # when it is not documented.
func New(name string) *Setting { return &Setting{name} }

// Name returns the setting's name.
func (s *Setting) Name() string {
	if s.Undocumented() {
		return s.name[1:]
	}
	return s.name
}

// Undocumented reports whether the name began with #.
func (s *Setting) Undocumented() bool { return s.name != "" && s.name[0] == '#' }

// String returns the setting in the form of GODEBUG.
func (s *Setting) String() string { return s.Name() + "=" }

// IncNonDefault counts nothing.
func (s *Setting) IncNonDefault() {}

// Value is empty: the default.
func (s *Setting) Value() string { return "" }
