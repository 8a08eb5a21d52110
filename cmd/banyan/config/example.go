//go:build linux

package config

import _ "embed"

//go:embed example.yaml
var example string

// Example is an annotated file. It loads without a problem and works as it is: 127.0.0.1:8080, realm1, anonymous
// clients of this machine. What it shows beyond that is commented out and can be taken in section by section.
func Example() string { return example }
