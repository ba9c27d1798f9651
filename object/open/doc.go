// Package open turns an address into an object.Store. It is the one place that
// knows all implementations, so that nobody else imports a cloud's SDK by
// accident.
//
// Addresses:
//
//	file:///dir
//	s3://bucket/prefix?endpoint=http://host:port&region=r&path_style=true&anonymous=true
//	oss://bucket/prefix?region=cn-hangzhou&internal=true&endpoint=https://host
//	cos://bucket-appid/prefix?region=ap-guangzhou&endpoint=https://host
//	mem://name
//
// An address never holds a secret: it is written into the volume's settings and
// into logs. Credentials come from each provider's usual environment variables and
// files. See docs/stores.md.
package open
