// Package chaos holds a test that does to whole sites what happens to them in years, by a
// schedule drawn from a seed: links are cut, half open, slow and torn, parts are killed, Redis
// loses the end of its log, roles are exchanged, and operators do the wrong thing. Meanwhile
// programs write and read at all sites through real mounts.
//
// After each round of it everything is mended, and judged: mirrors equal their source row by
// row and byte by byte; nothing that a program was told is done is missing, except what
// a promotion or a lost tail took away, which is the end of what was done and nothing else; no
// reader has seen anything go back in time or half of a rename.
//
// The tests are all there is in it. make chaos runs the long form.
package chaos
