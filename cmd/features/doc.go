// Package features says which parts of the protocol the router has, and by which tests one knows.
//
// The acceptance checklist has an id for each promise (PUB-08). A test carries ids; this package finds them in the
// sources, and writes the table of features in README.md from them. So the table promises nothing without a test:
//
//	Table      the features, the names under which WELCOME announces them, and the ids that each needs
//	Scan       finds the ids that tests carry
//	Markdown   writes the table for README.md
//	untested   lists the ids that no test carries yet; it can only become shorter
//
// TestReadme fails when README.md is not what Markdown writes; go generate ./cmd/features rewrites it, and
// takes what has a test by now off the list of untested ids.
package features

//go:generate go test -run TestReadme|TestUntested -update .
