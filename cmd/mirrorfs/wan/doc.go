// Package wan is a wide-area link on one machine: a TCP proxy that carries every
// byte half a round trip late, delays the setting up of connections by a whole
// one, and can be cut and mended. The demo, the benchmark and the integration
// tests put it between their sites.
//
// A cut link is a black hole, as a real one: nothing arrives, or nothing in one
// direction, nobody is told, new connections hang, and what was on its way arrives
// after the link is mended. Reset and Refuse are the other kind of failure: all
// connections end at once, with Refuse new ones too.
//
// Lock order: Link.mu and those of its gates are never held together, nor across I/O.
//
// It limits no bandwidth, loses and reorders nothing: TCP hides that from
// programs except as delay.
package wan
