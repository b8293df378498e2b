package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	maxReply   = 16 << 20 // bytes read from whatever answers at the address
	getTime    = 10 * time.Second
	changeTime = time.Minute // a file system may take a while to open
)

// Get asks the appliance at addr (IP:PORT) for path and decodes its JSON into
// v. It waits ten seconds at most.
func Get(ctx context.Context, addr, path string, v any) error {
	ctx, cancel := context.WithTimeout(ctx, getTime)
	defer cancel()
	// A proxy of the environment must not get to see a loopback address.
	return exchange(ctx, &http.Transport{DisableKeepAlives: true}, http.MethodGet, addr, path, nil, v)
}

// Change sends a request to the control socket of an appliance, with body as
// JSON unless it is nil. An error is that of the appliance, if it answers. It
// waits a minute at most.
func Change(ctx context.Context, socket, method, path string, body any) error {
	ctx, cancel := context.WithTimeout(ctx, changeTime)
	defer cancel()
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	return exchange(ctx, &http.Transport{DisableKeepAlives: true, DialContext: dial}, method, "appliance", path, bytes.NewReader(text), &struct{}{})
}

func exchange(ctx context.Context, by *http.Transport, method, host, path string, body io.Reader, v any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+host+path, body)
	if err != nil {
		return err
	}
	res, err := (&http.Client{Transport: by}).Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	reply := json.NewDecoder(io.LimitReader(res.Body, maxReply))
	if res.StatusCode != http.StatusOK {
		var why failure
		if err := reply.Decode(&why); err == nil && why.Error != "" {
			return errors.New(why.Error)
		}
		return fmt.Errorf("%s answered %s", req.URL, res.Status)
	}
	if err := reply.Decode(v); err != nil {
		return fmt.Errorf("%s did not answer as an appliance does: %w", req.URL, err)
	}
	return nil
}
