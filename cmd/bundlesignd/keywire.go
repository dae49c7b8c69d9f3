package main

import (
	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/signer"
)

// wireKey shows a configured key as the daemon's API does, without what only a
// running daemon knows.
func wireKey(k *signer.KeyConfig) wire.Key {
	out := wire.Key{
		Name: k.Name, Apps: k.Apps, KeyID: k.Pin.KeyID(), Fingerprint: k.Pin.Fingerprint(), PublicKey: k.Pin.PEM(),
		OnlyOnRequest: k.OnlyOnRequest, CustodyDemand: string(k.Demand), State: string(signer.KeyUnchecked),
	}
	for _, r := range k.Replicas {
		out.Replicas = append(out.Replicas, wire.Replica{URI: r.URI, State: string(signer.KeyUnchecked)})
	}
	out.URI = out.Replicas[0].URI // there is one at least
	return out
}

func wireCustody(c *signer.Custody) *wire.Custody {
	if c == nil {
		return nil
	}
	return &wire.Custody{Level: string(c.Level), Backend: c.Backend, Evidence: c.Evidence}
}
