package tests

import "syscall"

// Windows has no such signals. There these tests are only compiled: they stop the
// program with signals as well.
const (
	sigStop = syscall.Signal(-1)
	sigCont = syscall.Signal(-1)
)
