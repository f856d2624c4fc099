package link

import (
	"context"
	"crypto/ecdh"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
)

// arrived takes a connection of somebody.
func (l *Links) arrived(raw net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		raw.Close()
		return
	}
	select {
	case l.places <- struct{}{}:
	default:
		raw.Close() // whoever belongs here tries again
		return
	}
	l.background.Go(func() { l.receive(raw) })
}

// receive is the handshake with somebody who has connected, and, with the control
// connection of a peer, all of its session.
func (l *Links) receive(raw net.Conn) {
	ctx, cancel := context.WithTimeout(l.ctx, handshakeTime)
	defer cancel()
	unwatch := context.AfterFunc(ctx, func() { raw.Close() })
	c, p, welcome, err := l.handshake(ctx, raw)
	if err == nil && c.peer.Lane == Bulk {
		err = p.complete(c, welcome, unwatch)
		<-l.places
		if err != nil {
			raw.Close()
			l.refused(c, p, raw, err)
		}
		return
	}
	var s *session
	if err == nil {
		s, err = p.await(ctx, c, welcome)
	}
	<-l.places
	if err == nil && !unwatch() {
		err = errNoAnswer
	}
	if err != nil {
		if s != nil {
			s.finish(err)
		}
		raw.Close()
		l.refused(c, p, raw, err)
		return
	}
	p.run(s)
}

// handshake finds out who has connected.
func (l *Links) handshake(ctx context.Context, raw net.Conn) (c *conn, p *peer, welcome func() error, err error) {
	var on net.Conn = raw
	if l.o.Server != nil {
		secured := tls.Server(raw, l.o.Server)
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, nil, nil, fmt.Errorf("TLS: %w", err)
		}
		on = secured
	}
	c = newConn(on, raw)
	cred := l.credentials()
	welcome, err = c.accept(func(g *greeting) (*greeting, *ecdh.PrivateKey, error) {
		return greet(l.o.Hello(), g.Lane, g.Session, g.Address, cred.auth)
	}, cred, l.judge(""))
	if c.peer != nil {
		p = l.peerAt(c.peer.Address)
	}
	if err == nil && p == nil {
		err = errRemoved
	}
	return c, p, welcome, err
}

// await lets the control connection of a peer in and waits for the bulk one.
func (p *peer) await(ctx context.Context, control *conn, welcome func() error) (*session, error) {
	h := &half{number: control.peer.Session, bulk: make(chan *conn, 1)}
	p.mu.Lock()
	p.half = h
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		if p.half == h {
			p.half = nil
		}
		p.mu.Unlock()
	}()
	if err := welcome(); err != nil {
		return nil, err
	}
	select {
	case bulk := <-h.bulk:
		return newSession(p.links, p, control, bulk), nil
	case <-ctx.Done():
		select {
		case bulk := <-h.bulk:
			bulk.Close()
		default:
		}
		return nil, errNoAnswer
	}
}

// complete lets the bulk connection of a peer in and gives it to who waits for it.
func (p *peer) complete(bulk *conn, welcome func() error, unwatch func() bool) error {
	p.mu.Lock()
	h := p.half
	p.mu.Unlock()
	if h == nil || h.number != bulk.peer.Session {
		return bulk.refuse("there is no control connection that it belongs to: it came too late")
	}
	if err := welcome(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.half != h || !unwatch() {
		return errNoAnswer
	}
	p.half = nil
	h.bulk <- bulk // there is room, and nobody else puts one there
	return nil
}

// refused notes, and tells, why somebody was not let in.
func (l *Links) refused(c *conn, p *peer, raw net.Conn, err error) {
	if p != nil {
		p.failed(err)
		return
	}
	if l.ctx.Err() != nil {
		return
	}
	l.mu.Lock()
	tell := l.strangers.due(err.Error(), true)
	l.mu.Unlock()
	if !tell {
		return
	}
	attributes := []any{slog.String("from", raw.RemoteAddr().String()), slog.Any("error", err)}
	if c != nil && c.peer != nil {
		attributes = append(attributes, slog.String("address", quoted(c.peer.Address)))
	}
	l.o.Logger.Warn("somebody was not let in to the cluster port", attributes...)
}
