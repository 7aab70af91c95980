package gateway

import (
	"context"
	"crypto/tls"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"gatewayd/auth"
	"gatewayd/db"
	"gatewayd/lan"
	"gatewayd/sms"
)

// Way is how a box is reached, as its configuration says.
type Way struct {
	DataDir     string
	Listen      string // http.listen
	LAN         string // http.lan.listen
	Name        string // http.lan.name
	Certificate *tls.Certificate
}

// Welcome is what the console shows of a box, whether or not its daemon runs; ""
// once somebody has come in. What it makes belongs to the owner of data_dir.
func Welcome(ctx context.Context, d *db.DB, w Way) (string, error) {
	code, err := FirstRunCode(ctx, w.DataDir, auth.New(d))
	if err != nil || code == "" {
		return "", err
	}
	c := lan.Console{Code: code, Local: scheme(w.Certificate) + w.Listen}
	if w.LAN != "" {
		s, err := openSettings(ctx, d, map[string]string{sms.SettingName: w.Name})
		if err != nil {
			return "", err
		}
		name := s.get(sms.SettingName)
		if name == NoName {
			name = ""
		}
		c.Addresses = addressesOf(w.LAN, name)
		if w.Certificate != nil {
			c.Fingerprint = lan.Fingerprint(w.Certificate.Certificate[0])
		} else {
			own, err := lan.OpenCertificates(tlsDir(w.DataDir), time.Now, nil)
			if err != nil {
				return "", err
			}
			c.Fingerprint, c.Own = own.Fingerprint(), true
		}
	}
	return c.Text(), giveToOwner(w.DataDir, filepath.Join(w.DataDir, firstRunFile), tlsDir(w.DataDir))
}

func tlsDir(dataDir string) string { return filepath.Join(dataDir, "tls") }

func scheme(c *tls.Certificate) string {
	if c != nil {
		return "https://"
	}
	return "http://"
}

// giveToOwner gives what root has made in a directory to the directory's owner.
func giveToOwner(dir string, paths ...string) error {
	info, err := os.Stat(dir)
	if err != nil || os.Geteuid() != 0 {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	for _, p := range paths {
		err := filepath.WalkDir(p, func(path string, _ fs.DirEntry, err error) error {
			if os.IsNotExist(err) {
				return nil
			}
			if err != nil {
				return err
			}
			return os.Lchown(path, int(owner.Uid), int(owner.Gid))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// addressesOf are the addresses of a box with a name that listens there, its name
// first.
func addressesOf(listen, name string) []string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return nil
	}
	var all []string
	if name != "" {
		all = append(all, "https://"+net.JoinHostPort(name+".local", port))
	}
	if ip, err := netip.ParseAddr(host); host != "" && (err != nil || !ip.IsUnspecified()) {
		return append(all, "https://"+listen)
	}
	for _, a := range lan.Addresses() {
		all = append(all, "https://"+net.JoinHostPort(a.String(), port))
	}
	return all
}
