// Package faulty puts faults in front of an object store, chosen by a seed, for
// tests of everything that must survive them.
//
// Whether a call fails, and how, follows from the seed, the operation, the key and
// how many calls of that operation on that key came before: so a run can be
// repeated, also with concurrent callers, as long as each key's calls come in
// the same order.
//
// Most faults are such as the contract of object.Store allows and the world
// produces: errors, throttling, hanging, broken bodies, slowness, and errors
// although the change was made. Two break the contract, as bad disks and proxies
// do: Short and Corrupt. Only a checksum finds those.
package faulty
