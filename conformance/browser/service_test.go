package browser_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/httpadapter"
)

// service serves the page of the quickstart from an engine with another configuration, and returns where that is.
func service(t *testing.T, amend func(*auth.Config)) (*authtest.Engine, string) {
	t.Helper()
	return serve(t, "http", amend)
}

// serve is [service] by http or https.
func serve(t *testing.T, scheme string, amend func(*auth.Config)) (*authtest.Engine, string) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	url := scheme + "://localhost:" + port
	engine := authtest.New(t, func(c *auth.Config) {
		c.ServerURL, c.ClientURL = url+"/v1", url
		c.Email.AllowUnverified = true
		c.Elevation.Mode = auth.ElevationRecommended
		c.Now = time.Now
	}, amend)
	adapter, err := httpadapter.New(engine.Engine, httpadapter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	empty := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"text":"","letters":[]}`)
	})
	mux := http.NewServeMux()
	adapter.Mount(mux, "/v1")
	mux.Handle("GET /dev/mailbox", empty)
	mux.HandleFunc("GET /dev/providers", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"providers": append([]string{}, engine.Providers()...)})
	})
	mux.Handle("GET /note", adapter.RequireUser(empty))
	mux.Handle("DELETE /note", adapter.RequireElevation(5*time.Minute)(empty))
	mux.Handle("/", http.FileServer(http.Dir(filepath.Join("..", "..", "examples", "quickstart", "page"))))
	server.Config.Handler = mux
	if scheme == "https" {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	if !strings.HasSuffix(server.URL, port) {
		t.Fatalf("the server is at %s and not at %s", server.URL, url)
	}
	return engine, url
}
