//go:build linux

package engine

func runChild(string) {}
