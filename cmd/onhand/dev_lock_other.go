//go:build !unix

package main

import "os"

// processLives says whether a process has this id: finding one that is gone fails.
func processLives(pid int) bool {
	process, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	return process.Release() == nil
}
