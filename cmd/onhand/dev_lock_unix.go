//go:build unix

package main

import (
	"errors"
	"os"
	"syscall"
)

// processLives says whether a process has this id. Signal 0 is not delivered, only checked.
func processLives(pid int) bool {
	process, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	err = process.Signal(syscall.Signal(0))
	return err == nil || errors.Is(err, os.ErrPermission)
}
