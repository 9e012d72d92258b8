package schemas

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/twmb/franz-go/pkg/sr"
)

// responseBytesMax bounds an answer of the registry: the longest schema that is read, with room for its quoting.
const responseBytesMax = 4 * schemaBytesMax

// RegistryOptions are the settings of a Registry. The zero value is fit for use.
type RegistryOptions struct {
	// TLS is used for https URLs; nil trusts the certificates of the system.
	TLS *tls.Config
	// Timeout bounds one request; default 5 s.
	Timeout time.Duration
	// RetriesMax bounds how often a request is repeated after a failure of the network or of the server (status 429 and
	// 5xx); default 3, negative for never. So a call takes at most (RetriesMax + 1) × Timeout and the waits between.
	RetriesMax int
	// RetryWait is the wait before the first repetition, doubled for each further one up to 20 times its value; default
	// 100 ms.
	RetryWait time.Duration
	// Logger is told every request at level Debug, and at level Error what failed unless its caller gave it up; nil for
	// none.
	Logger *slog.Logger
}

// A Registry is a client of a Confluent-compatible schema registry. It may be used by any number of goroutines at once,
// and keeps nothing: a Decoder remembers.
//
// Its methods return ErrUnavailable where the registry could not be asked or could not answer: no connection, status 401,
// 403, 429 and 5xx, and a 404 that does not name what is missing (which a wrong base path gives).
type Registry struct {
	client    *sr.Client
	transport *http.Transport
}

// NewRegistry makes a client for the registry at an http or https URL. A path in it is the base of every request, as
// Apicurio's /apis/ccompat/v7; user:password in it is sent as basic authentication. Nothing is asked yet.
func NewRegistry(rawURL string, options RegistryOptions) (*Registry, error) {
	base, err := url.Parse(rawURL)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		// The text is not repeated: it may hold a password.
		return nil, errors.New("reading registry URL: want http://host:port/path or https://host:port/path")
	}
	user := base.User
	base.User = nil
	transport := &http.Transport{
		Proxy:             http.ProxyFromEnvironment,
		TLSClientConfig:   options.TLS,
		ForceAttemptHTTP2: true,
		IdleConnTimeout:   90 * time.Second,
	}
	opts := []sr.ClientOpt{
		sr.URLs(base.String()),
		sr.HTTPClient(options.httpClient(transport)),
		sr.UserAgent("onhand"),
		sr.LogLevel(sr.LogLevelNone), // the transport logs
	}
	if user != nil {
		password, _ := user.Password() // empty where there is none
		opts = append(opts, sr.BasicAuth(user.Username(), password))
	}
	cl, err := sr.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("building registry client: %w", err)
	}
	return &Registry{client: cl, transport: transport}, nil
}

// httpClient repeats what failed, over the transport.
func (o RegistryOptions) httpClient(transport *http.Transport) *http.Client {
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	if o.RetriesMax == 0 {
		o.RetriesMax = 3
	}
	if o.RetryWait == 0 {
		o.RetryWait = 100 * time.Millisecond
	}
	retrying := &retryablehttp.Client{
		HTTPClient:   &http.Client{Transport: limited{transport}, Timeout: o.Timeout},
		RetryMax:     max(o.RetriesMax, 0),
		RetryWaitMin: o.RetryWait,
		RetryWaitMax: 20 * o.RetryWait,
		CheckRetry:   retryablehttp.DefaultRetryPolicy,
		Backoff:      backoff,
		ErrorHandler: retryablehttp.PassthroughErrorHandler, // the last answer says more than "giving up"
	}
	if o.Logger != nil {
		retrying.Logger = requestLog{o.Logger} // a nil *slog.Logger would be a Logger that panics
	}
	return retrying.StandardClient()
}

// requestLog tells of requests. One that the caller gave up, as a stop does, is no error.
type requestLog struct{ *slog.Logger }

func (l requestLog) Error(msg string, keysAndValues ...any) {
	for _, v := range keysAndValues {
		if err, ok := v.(error); ok && errors.Is(err, context.Canceled) {
			l.Debug(msg, keysAndValues...) //nolint:sloglint // the message is retryablehttp's own
			return
		}
	}
	l.Logger.Error(msg, keysAndValues...) //nolint:sloglint // the message is retryablehttp's own
}

// backoff is the library's, but never longer than the longest wait: the server's Retry-After may ask for hours.
func backoff(shortest, longest time.Duration, attempt int, resp *http.Response) time.Duration {
	return min(longest, retryablehttp.DefaultBackoff(shortest, longest, attempt, resp))
}

// limited cuts answers off at responseBytesMax.
type limited struct{ http.RoundTripper }

func (l limited) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := l.RoundTripper.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = http.MaxBytesReader(nil, resp.Body, responseBytesMax)
	return resp, nil
}

// Close lets go of idle connections. The Registry may still be used.
func (g *Registry) Close() { g.transport.CloseIdleConnections() }

// Schema is the text of the Avro schema with that id. It returns ErrUnknownSchema where there is none, ErrWrongRecordType
// where it is not Avro, and ErrDecode where it refers to other schemas of the registry, which is not supported.
func (g *Registry) Schema(ctx context.Context, id int) (string, error) {
	schema, err := g.client.SchemaByID(ctx, id)
	if errors.Is(explain(err), errNotFound) {
		return "", fmt.Errorf("%w: the registry has no id %d", ErrUnknownSchema, id)
	}
	if err != nil {
		return "", fmt.Errorf("asking for schema %d: %w", id, explain(err))
	}
	return avroText(schema)
}

func avroText(schema sr.Schema) (string, error) {
	if schema.Type != sr.TypeAvro {
		return "", fmt.Errorf("%w: a schema of type %s, not Avro", ErrWrongRecordType, schema.Type)
	}
	if len(schema.References) > 0 {
		return "", fmt.Errorf("%w: the schema refers to %s; references are not supported", ErrDecode, schema.References[0].Subject)
	}
	return schema.Schema, nil
}

// errNotFound says that the registry answered that it has no such thing.
var errNotFound = errors.New("not found")

// explain gives an error of the client the meaning it has for callers.
func explain(err error) error {
	var answer *sr.ResponseError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &answer):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	case sr.IsNotFoundError(answer.ErrorCode):
		return fmt.Errorf("%w: %s", errNotFound, shortened(answer.Error()))
	case answer.StatusCode == http.StatusConflict:
		return fmt.Errorf("%w: %s", ErrIncompatible, shortened(answer.Error()))
	case answer.StatusCode == http.StatusBadRequest, answer.StatusCode == http.StatusUnprocessableEntity:
		return fmt.Errorf("refused with status %d: %s", answer.StatusCode, shortened(answer.Error()))
	case answer.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%w: status 404 from %s: is the base path of the registry right?", ErrUnavailable, answer.URL)
	}
	return fmt.Errorf("%w: status %d: %s", ErrUnavailable, answer.StatusCode, shortened(answer.Error()))
}

// shortened keeps a page of HTML out of the logs.
func shortened(message string) string {
	const runesMax = 300
	if runes := []rune(message); len(runes) > runesMax {
		return string(runes[:runesMax]) + "…"
	}
	return message
}
