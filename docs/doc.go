// Package docs holds no code: its tests hold the documentation against the tree that it
// describes. A link leads somewhere, a test that is named exists, and each promise has one.
package docs
