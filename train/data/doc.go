// Package data holds the sets of samples that package train learns from.
//
// A [Set] is anything with a length, a shape and a Read that may be called from several goroutines.
// A caller's own set is one type with four methods. [NewImages] and [NewSamples] make sets from
// memory; [Digits] draws one; [MNIST] reads the four files of MNIST or of a set laid out like it.
//
// Sets that a command finds by name are [Source] values. A source registers itself in the file that
// defines it, so a new one is one new file; see [Register].
package data
