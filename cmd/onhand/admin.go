package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// adminServer answers for a process: /metrics for Prometheus, /healthz whether it lives, /readyz whether all its tasks run.
type adminServer struct {
	listener net.Listener
	server   *http.Server
	served   chan error
}

// listenAdmin takes the address. Nothing is answered until serve.
func listenAdmin(ctx context.Context, address string) (*adminServer, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, hinted(fmt.Errorf("listening for metrics and health: %w", err), "name another address with --admin (ONHAND_ADMIN); port 0 takes any free one")
	}
	return &adminServer{listener: listener, served: make(chan error, 1)}, nil
}

// url is where the server answers.
func (s *adminServer) url() string { return "http://" + s.listener.Addr().String() }

// serve answers until close. live and ready return nil, or why not.
func (s *adminServer) serve(registry *prometheus.Registry, log *slog.Logger, live, ready func() error) {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}))
	mux.HandleFunc("GET /healthz", answer(live))
	mux.HandleFunc("GET /readyz", answer(ready))
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute}
	// Ended by close, which waits for it.
	go func() { s.served <- s.server.Serve(s.listener) }()
}

// answer is 200 where check finds nothing, else 503 with what it found.
func answer(check func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		text := "ok\n"
		if err := check(); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			text = err.Error() + "\n"
		}
		// Whoever asked is gone; nobody else minds.
		_, _ = io.WriteString(w, text)
	}
}

// close ends the server; answers under way have a second.
func (s *adminServer) close(ctx context.Context) error {
	if s.server == nil {
		return s.listener.Close()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	err := s.server.Shutdown(ctx)
	if served := <-s.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
