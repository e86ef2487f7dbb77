package tests

import "syscall"

// Windows has no such signals. These tests are only compiled there, since they also
// stop the program with signals.
const (
	sigStop = syscall.Signal(-1)
	sigCont = syscall.Signal(-1)
)
