//go:build !windows

package tests

import "syscall"

// What makes a process hang, and go on.
const (
	sigStop = syscall.SIGSTOP
	sigCont = syscall.SIGCONT
)
