package main

import (
	"errors"
	"os"
	"syscall"
)

// openLocked opens a file, creating it if needed, for this process alone; a process that ends, however it ends, gives it
// back. It returns errLocked where another has it open.
func openLocked(name string) (*os.File, error) {
	path, err := syscall.UTF16PtrFromString(name)
	if err != nil {
		return nil, err
	}
	const notShared = 0
	handle, err := syscall.CreateFile(path, syscall.GENERIC_READ|syscall.GENERIC_WRITE, notShared, nil, syscall.OPEN_ALWAYS,
		syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if err != nil {
		const sharingViolation = syscall.Errno(32)
		if errors.Is(err, sharingViolation) {
			err = errLocked
		}
		return nil, err
	}
	return os.NewFile(uintptr(handle), name), nil
}
