// Package train trains the networks of package model on image data: datasets, the loop, optimisers, metrics and the run directory.
//
// A run is repeatable: the same data, options and seed give the same weights, bit for bit, at any number of threads.
package train
