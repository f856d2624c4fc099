package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"

	"qmq/admin/words"
	"qmq/internal/apiclient"
	"qmq/internal/nodeclient"
	"qmq/lookup"
)

// upstream is everything that is asked.
type upstream struct {
	api       *apiclient.Client // of directories' versions and graphite
	toNodes   *apiclient.Client
	nodes     *nodeclient.Client
	directory *lookup.Client
	accounts  apiclient.Accounts
	direct    []string        // nodes that were given instead of directories
	graphite  *http.Transport // nil: requests are not handed on
}

func newUpstream(o *Options) *upstream {
	u := new(upstream)
	plain := apiclient.Options{
		ConnectTimeout: o.ConnectTimeout, RequestTimeout: o.RequestTimeout, TLS: o.TLS, UserAgent: o.userAgent(), Accounts: &u.accounts,
	}
	u.api = apiclient.New(plain)
	trusted := plain
	trusted.Credential = o.NodeCredential
	u.toNodes = apiclient.New(trusted)
	u.nodes = nodeclient.New(u.toNodes)
	u.directory = lookup.NewClient(lookup.ClientOptions{
		ConnectTimeout: o.ConnectTimeout, RequestTimeout: o.RequestTimeout, TLS: o.TLS, UserAgent: o.userAgent(), Accounts: &u.accounts,
	})
	u.direct = u.bare(o.Nodes)
	return u
}

// bare takes users and passwords out of addresses, which are shown, and keeps
// them for the requests.
func (u *upstream) bare(addresses []string) []string {
	var all []string
	for _, address := range addresses {
		all = append(all, u.accounts.Take(address))
	}
	return all
}

func (u *upstream) close() {
	u.api.Close()
	u.toNodes.Close()
	u.directory.Close()
	if u.graphite != nil {
		u.graphite.CloseIdleConnections()
	}
}

// lookupdVersion asks a directory for its version.
func (u *upstream) lookupdVersion(ctx context.Context, address string) (string, error) {
	var info lookup.InfoAnswer
	err := u.api.Get(ctx, apiclient.URL(address, "/info", nil), &info)
	return info.Version, err
}

// reason is why there was no answer, in few words: without the method and URL
// that net/http puts in front.
func reason(err error) string {
	for {
		switch e := err.(type) {
		case *url.Error:
			if e.Timeout() {
				return "no answer in time"
			}
			err = e.Err
			continue
		case *net.OpError:
			if at, ok := e.Addr.(*net.TCPAddr); ok && e.Op == "dial" {
				return fmt.Sprintf("%s on port %d", words.Shorten(syscallText(e.Err)), at.Port)
			}
		case *lookup.PartialError:
			if len(e.Failed) == 1 {
				err = e.Failed[0].Err
				continue
			}
		case lookup.AddressError:
			err = e.Err
			continue
		}
		return words.Shorten(err.Error())
	}
}

// syscallText leaves out the name of the system call.
func syscallText(err error) string {
	var call *os.SyscallError
	if errors.As(err, &call) {
		err = call.Err
	}
	return err.Error()
}
