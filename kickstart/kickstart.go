// Package kickstart embeds kickstart.json, which sets up the identity provider.
// FusionAuth reads it at its first start, the demo provider at every start.
package kickstart

import _ "embed"

// JSON is the file. Its variables are not replaced.
//
//go:embed kickstart.json
var JSON []byte
