package config

import (
	"io"
	"log/slog"
)

// Logger returns the logger that LOG_FORMAT and LOG_LEVEL describe.
func (c *Config) Logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
