//go:build !amd64 || noasm

package simd

func detect() []Tier { return []Tier{Generic} }
