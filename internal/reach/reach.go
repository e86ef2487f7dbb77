// Package reach finds out how a phone can come to this machine: through the
// tunnels of an ngrok agent, or in a network that both are in.
package reach
