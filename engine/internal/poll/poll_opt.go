//go:build linux && poll_opt

// Package poll does not build with -tags poll_opt: gnet's optimized poller keeps pointers in epoll's data, where this
// package reads descriptors.
package poll

var _ = build_without_the_tag_poll_opt
