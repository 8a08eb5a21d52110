package load

import (
	"strings"
	"testing"
	"time"
)

func TestParsePerf(t *testing.T) {
	n, err := parsePerf([]byte("# started on\n\n12345,,raw_syscalls:sys_enter,2000111,100.00,,\n"),
		500*time.Millisecond)
	if err != nil || n != 24690 {
		t.Errorf("%g, %v", n, err)
	}
	for out, want := range map[string]string{
		"<not counted>,,raw_syscalls:sys_enter,0,100.00,,": "<not counted>",
		"\nAccess to performance monitoring is limited.\n": "limited",
		"": "says nothing",
	} {
		if _, err := parsePerf([]byte(out), time.Second); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v", out, err)
		}
	}
}

func TestParseStrace(t *testing.T) {
	n, err := parseStrace("    calls syscall\n--------- ----------------\n       30 read\n       12 write\n" +
		"--------- ----------------\n       42 total\n")
	if err != nil || n != 42 {
		t.Errorf("%g, %v", n, err)
	}
	if _, err := parseStrace("strace: attach: ptrace(PTRACE_SEIZE, 1): Operation not permitted\n"); err == nil ||
		!strings.Contains(err.Error(), "not permitted") {
		t.Errorf("got %v", err)
	}
}
