//go:build !linux

package vm

func advise[T any]([]T) {}
