package costest

// Signature is what the server wants to see.
var Signature = signature
