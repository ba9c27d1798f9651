// Command mirrorfs is the program: every command of the file system, from
// formatting a volume to running its mirror.
//
// This package is the only place that joins implementations (wire.go): the
// layers below know each other by interfaces alone. A command is one
// constructor in a file of its name; it parses, calls the layer that does the
// work, and prints.
//
// Every command exits 0 on success, 2 on wrong usage and 1 otherwise, prints
// its result on stdout (as JSON with --json) and its log on stderr, and has a
// --help with an example. Passwords come from the environment and are never
// printed.
package main
