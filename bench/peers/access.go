package peers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"banyan/bench/client"
	"banyan/bench/load"
	"banyan/bench/report"
)

// An Access is what a plan asks of the way in. Only our router can have all of it, and the floor can encrypt.
type Access struct {
	TLS     bool
	Deflate bool   // permessage-deflate
	Ticket  bool   // clients log in by ticket; else they are anonymous
	Rules   int    // permissions of the clients' role; 0 is one for everything
	Roles   int    // more roles, of rolesRules permissions each
	Dynamic bool   // an authorizer decides what the clients may do; Rules do not
	History string // where the history of historyTopic is kept: memory or disk; empty for none
}

const (
	accessUser   = "client"
	rolesRules   = 20
	historyTopic = "bench.history"
)

// grant returns the peer as it has to be started for the plan, and completes the options of the clients.
func (s *Setup) grant(a Access, p *Peer, o *load.Options) (*Peer, error) {
	if a == (Access{}) {
		return p, nil
	}
	var cert, key string
	if a.TLS {
		var err error
		if cert, key, err = s.certificate(o); err != nil {
			return nil, err
		}
	}
	o.Deflate = a.Deflate
	q := *p
	q.secure = a.TLS
	switch {
	case p.Name == "banyan":
		ticket := rand.Text()
		if a.Ticket {
			o.Login = &client.Login{AuthID: accessUser, Ticket: ticket}
		}
		if a.Dynamic {
			q.authorizer = &client.Login{AuthID: authorizerUser, Ticket: ticket}
		}
		file := filepath.Join(s.Scratch, "access.json")
		q.command = func(address, _ string) []string {
			// The configuration contains the port, so each start writes it. Without the file no router starts.
			// A start gets a history on disk of its own.
			data := filepath.Join(s.Scratch, "data")
			_ = os.RemoveAll(data)
			_ = os.WriteFile(file, a.config(address, s.realm(), ticket, cert, key, data), 0o600)
			return append([]string{s.Program, "serve", "--config", file, "--log-level", "warn"}, s.ServeFlags...)
		}
	case p.Name == report.FloorName && a == Access{TLS: true}:
		q.command = func(address, transport string) []string {
			return append(p.command(address, transport), "--cert", cert, "--cert-key", key)
		}
	default:
		return nil, fmt.Errorf("%s has no such way in", p.Name)
	}
	return &q, nil
}

// config is a configuration of our router. data is the folder for what it keeps.
func (a Access) config(address, realm, ticket, cert, key, data string) []byte {
	type object = map[string]any
	everything := []string{"call", "register", "publish", "subscribe"}
	rules := []object{{"uri": "bench.", "match": "prefix", "allow": everything}}
	if a.Dynamic {
		rules = []object{}
	}
	for i := 1; i < a.Rules; i++ {
		rules = append(rules, object{
			"uri": fmt.Sprintf("com.example.n%d", i), "match": []string{"prefix", "exact"}[i%2], "allow": everything,
		})
	}
	if a.History != "" {
		rules = append(rules, object{"uri": load.GetEvents, "match": "exact", "allow": []string{"call"}})
	}
	role := object{"name": accessUser, "permissions": rules}
	roles := []object{role}
	for i := range a.Roles {
		some := rules[:min(rolesRules, len(rules))]
		roles = append(roles, object{"name": fmt.Sprintf("role%d", i), "permissions": some})
	}
	listener := object{"address": address}
	if a.Deflate {
		listener["deflate"] = "unencrypted"
	}
	if a.TLS {
		listener["tls"] = object{"certificates": []object{{"certificate": cert, "key": key}}}
	}
	r := object{"uri": realm, "roles": roles}
	hashed := object{"sha256": fmt.Sprintf("%x", sha256.Sum256([]byte(ticket)))}
	if a.Ticket {
		r["auth"] = object{"ticket": object{}}
		r["users"] = object{accessUser: object{"role": accessUser, "ticket": hashed}}
	} else {
		r["auth"] = object{"anonymous": object{"role": accessUser, "from": []string{"local"}}}
	}
	all := object{"version": 1, "listeners": []object{listener}, "realms": []object{r}}
	if a.History != "" {
		r["history"] = []object{{"uri": historyTopic, "store": a.History}}
		all["process"] = object{"data_dir": data}
	}
	if a.Dynamic {
		role["authorizer"] = object{"procedure": authorizerProcedure, "cache": authorizerCache}
		own := object{"uri": authorizerProcedure, "match": "exact", "allow": []string{"register"}}
		r["roles"] = append(roles, object{"name": authorizerUser, "permissions": []object{own}})
		r["auth"].(object)["ticket"] = object{}
		r["users"] = object{authorizerUser: object{"role": authorizerUser, "ticket": hashed}}
	}
	b, _ := json.Marshal(all)
	return b
}

// certificate makes a key and a certificate that signs itself, once for each Scratch, and has the clients trust it.
func (s *Setup) certificate(o *load.Options) (cert, key string, err error) {
	cert, key = filepath.Join(s.Scratch, "cert.pem"), filepath.Join(s.Scratch, "key.pem")
	shown, err := os.ReadFile(cert)
	if err != nil {
		if shown, err = writeCertificate(cert, key); err != nil {
			return "", "", err
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(shown)
	o.TLS = &tls.Config{RootCAs: roots}
	return cert, key, nil
}

func writeCertificate(cert, key string) (shown []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, NotBefore: now.Add(-time.Hour),
		NotAfter: now.AddDate(1, 0, 0), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true,
		IsCA: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	shown = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	secretPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	if err = os.WriteFile(key, secretPEM, 0o600); err != nil {
		return nil, err
	}
	return shown, os.WriteFile(cert, shown, 0o600)
}
