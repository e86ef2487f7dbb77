// Package kickstart embeds kickstart.json, which sets up the identity
// provider: FusionAuth reads it at its first start, and the demo provider at
// every start.
package kickstart

import _ "embed"

// JSON is the file as it stands, its variables unfilled.
//
//go:embed kickstart.json
var JSON []byte
