package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"

	"github.com/volumed/volumed/fault"
)

// ErrNobody is in the error of a client that found nobody on its socket.
var ErrNobody = fault.New(fault.NotFound, "nobody listens")

// Client asks the process behind one socket. It keeps no connection open.
type Client struct {
	path string
	http http.Client
}

// NewClient returns a client of the socket. Whether anybody listens shows when it
// is asked.
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	return &Client{path: path, http: http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Ask sends req, as JSON, to the path of that method (GET, POST), and decodes the
// answer into resp; nil for either means none. An error has the kind, message and
// hint that the other side gave it. Nobody there is ErrNobody, of kind NotFound, a socket that is not
// ours Invalid, no answer before the end of ctx Unavailable.
func (c *Client) Ask(ctx context.Context, method, path string, req, resp any) error {
	body, err := c.Open(ctx, method, path, req)
	if err != nil {
		return err
	}
	defer body.Close()
	if resp == nil {
		return nil
	}
	if err := json.NewDecoder(body).Decode(resp); err != nil {
		return c.unreachable(err)
	}
	return nil
}

// Open is Ask for an answer that the caller reads, and closes.
func (c *Client) Open(ctx context.Context, method, path string, req any) (io.ReadCloser, error) {
	var in io.Reader
	if req != nil {
		data, err := json.Marshal(req)
		if err != nil {
			return nil, fault.New(fault.Internal, "encode request: %w", err)
		}
		in = bytes.NewReader(data)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://volumed"+path, in)
	if err != nil {
		return nil, fault.New(fault.Internal, "request: %w", err)
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if answer.StatusCode == http.StatusOK {
		return answer.Body, nil
	}
	defer answer.Body.Close()
	return nil, refusal(answer)
}

// refusal is the error that the other side answered with.
func refusal(answer *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return fault.New(fault.Unavailable, "read the answer: %w", err)
	}
	var in wireError
	if err := json.Unmarshal(text, &in); err != nil || in.Error.Message == "" {
		return fault.New(fault.Unsupported, "%s: %s", answer.Status, strings.TrimSpace(string(text)))
	}
	refused := fault.New(fault.ParseKind(string(in.Error.Kind)), "%s", in.Error.Message)
	refused.Hint = in.Error.Hint
	return refused
}

func (c *Client) unreachable(err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fault.New(fault.NotFound, "%w on %s", ErrNobody, c.path)
	case errors.Is(err, os.ErrPermission):
		return fault.New(fault.Invalid, "socket %s: %w", c.path, err).WithHint("ask as root, or as the user of the service")
	default:
		return fault.New(fault.Unavailable, "%s: %w", c.path, err)
	}
}
