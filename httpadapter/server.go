package httpadapter

import (
	"net/http"
	"time"
)

// NewServer returns a server whose limits hold off clients that are slow or hold connections: 5 seconds for the header of
// a request, of at most 32 KiB; 15 for all of it; 60 to have read the response; 2 minutes between requests. An
// [http.Server] made without has no limit but one on the size of headers.
//
// The service runs it, and ends it with [http.Server.Shutdown].
func NewServer(addr string, h http.Handler) *http.Server {
	return &http.Server{
		Addr:              addr,
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10, // an access token may have 16 KiB
	}
}
