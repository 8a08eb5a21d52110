package cli

import "os"

// configFiles are where a configuration is looked for when none is named.
var configFiles = []string{"banyan.yaml", "/etc/banyan/banyan.yaml"}

// configFile is the configuration file of a command without --config: $BANYAN_CONFIG if it is set, else the first of
// configFiles that is there. Empty, also by an empty $BANYAN_CONFIG: the built-in configuration.
func configFile() string {
	if name, set := os.LookupEnv("BANYAN_CONFIG"); set {
		return name
	}
	for _, name := range configFiles {
		if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
			return name
		}
	}
	return ""
}
