package realm

import (
	"testing"

	"go.uber.org/goleak"
)

// The realm starts no goroutine; neither may a test leave one behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
