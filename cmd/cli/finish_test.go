package cli

import (
	"bytes"
	"errors"
	"testing"

	"github.com/spf13/cobra"

	"banyan/bench/load"
)

// TestFinish: figures that are not trustworthy end with 8 if everything arrived, whatever they say, and with what
// they say if that was asked for.
func TestFinish(t *testing.T) {
	slow := []load.Beside{{Name: "patterns"}}
	for _, c := range []struct {
		name                     string
		verified, trust, lenient bool
		hostile                  []load.Beside
		code                     int // 0: no error, 1: an error without a code of its own
	}{
		{"good", true, true, false, nil, exitOK},
		{"doubtful", true, false, false, nil, exitDoubt},
		{"doubtful and lenient", true, false, true, nil, exitOK},
		{"stalled", true, true, false, slow, exitFailed},
		{"stalled and doubtful", true, false, false, slow, exitDoubt},
		{"stalled, doubtful and lenient", true, false, true, slow, exitFailed},
		{"lost", false, true, false, nil, exitFailed},
		{"lost and doubtful", false, false, false, slow, exitFailed},
	} {
		r := &load.Report{Hostile: c.hostile}
		r.Verified.OK, r.Trust.OK = c.verified, c.trust
		cmd := &cobra.Command{}
		cmd.SetOut(&bytes.Buffer{})
		l := loadFlags{lenient: c.lenient, asJSON: true}
		err := l.finish(cmd, r, nil)
		code := exitOK
		var hinted *hintedError
		if errors.As(err, &hinted) {
			code = hinted.code
		} else if err != nil {
			code = exitFailed
		}
		if code != c.code {
			t.Errorf("%s: %v, code %d, want %d", c.name, err, code, c.code)
		}
	}
}
