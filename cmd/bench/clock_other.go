//go:build !unix

package main

import "time"

// cpuTime falls back to elapsed time where the system does not say what a process used.
func cpuTime() time.Duration { return time.Since(epoch) }
