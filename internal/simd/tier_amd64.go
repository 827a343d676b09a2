//go:build amd64 && !noasm

package simd

import "golang.org/x/sys/cpu"

func detect() []Tier {
	t := []Tier{Generic}
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		t = append(t, AVX2)
		if cpu.X86.HasAVX512F && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VL {
			t = append(t, AVX512)
		}
	}
	return t
}
