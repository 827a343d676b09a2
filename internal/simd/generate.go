package simd

// The assembly is written by programs that use avo, in a module of their own, so that convgrad does
// not depend on it. The last program writes the functions that choose among the assembly. The names
// of generated files begin with z.

//go:generate go run -C _asm ./gemm -out ../zgemm_amd64.s -stubs ../zgemm_amd64.go -pkg simd
//go:generate go run -C _asm ./elem -out ../zelem_amd64.s -stubs ../zelem_amd64.go -pkg simd
//go:generate go run -C _asm ./conv -out ../zconv_amd64.s -stubs ../zconv_amd64.go -pkg simd
//go:generate go run -C _asm ./lanes -out ../zlanes_amd64.s -stubs ../zlanes_amd64.go -pkg simd
//go:generate go run -C _asm ./winograd -out ../zwinograd_amd64.s -stubs ../zwinograd_amd64.go -pkg simd
//go:generate go run -C _asm ./dots -out ../zdots_amd64.s -stubs ../zdots_amd64.go -pkg simd
//go:generate go run -C _asm ./dispatch
