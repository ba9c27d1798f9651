package redis

import "strconv"

// LibraryRevision is what clients compare.
var LibraryRevision = strconv.Itoa(libraryRevision)
