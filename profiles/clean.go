package profiles

import (
	"path"
	"strings"

	"github.com/google/pprof/profile"
)

// Clean removes from a profile everything about the machine and the binary it was recorded with: path and identity of
// the binary, addresses, mappings of the kernel and of libraries, comments, times. Functions, files and lines stay,
// which readers, pprof's web page and the compiler need.
func Clean(p *profile.Profile) error {
	// Merge locations that differ only in the address. They are most of the size.
	if err := p.Aggregate(true, true, true, true, false, false); err != nil {
		return err
	}
	binary := &profile.Mapping{
		ID: 1, File: "banyan", HasFunctions: true, HasFilenames: true, HasLineNumbers: true,
		HasInlineFrames: true,
	}
	for _, l := range p.Location {
		l.Mapping = binary
	}
	p.Mapping = []*profile.Mapping{binary}
	p.Comments, p.DropFrames, p.KeepFrames, p.DocURL = nil, "", "", ""
	p.TimeNanos = 0
	*p = *p.Compact()
	return p.CheckValid()
}

// Foreign returns the first file name of a profile that is a path of some machine, "" if there is none: a binary
// built with -trimpath names files by module or by package of the standard library.
func Foreign(p *profile.Profile) string {
	for _, f := range p.Function {
		if absolute(f.Filename) {
			return f.Filename
		}
	}
	for _, m := range p.Mapping {
		if absolute(m.File) {
			return m.File
		}
	}
	return ""
}

func absolute(name string) bool {
	return path.IsAbs(name) || strings.Contains(name, `:\`) || strings.HasPrefix(name, "..")
}
