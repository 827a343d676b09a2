//go:build !amd64 || noasm

package kernel

func detect() []Tier { return []Tier{Generic} }
