// Package reach finds out how a phone can reach this machine: through the
// tunnels of an ngrok agent, or on a local network that both are on.
package reach
