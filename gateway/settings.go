package gateway

import (
	"context"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"gatewayd/db"
	"gatewayd/intake"
	"gatewayd/lan"
	"gatewayd/queue"
	"gatewayd/sms"
	numbers "gatewayd/sms/number"
)

// settings are what people decide on the pages. What the configuration file says
// wins; what it leaves open is theirs, from the moment they say it.
type settings struct {
	db     *db.DB
	region func() string // numbers may be written as they are dialled there
	apply  func()        // called when a value may have changed

	mu    sync.Mutex
	fixed map[string]string // by the configuration file
	set   map[string]string // by people
}

// defaultName is what a box is called until somebody says otherwise.
const defaultName = "gatewayd"

// settingRules are the settings that there are, and what reads the value of each;
// an error reads on from the setting's name.
var settingRules = map[string]func(s *settings, value string) (string, error){
	sms.SettingRegion: func(_ *settings, v string) (string, error) {
		if v = strings.ToUpper(v); v != "" && !numbers.ValidRegion(v) {
			return "", fmt.Errorf("must be the two letters of a country, such as DE (GB for the United Kingdom)")
		}
		return v, nil
	},
	sms.SettingName: func(_ *settings, v string) (string, error) {
		v = strings.TrimSuffix(strings.ToLower(v), ".local")
		if v != "" && !lan.ValidName(v) {
			return "", fmt.Errorf("must be up to 63 letters a to z, digits and hyphens, with a letter or digit at both ends")
		}
		return v, nil
	},
	sms.SettingAlarmSMS: func(s *settings, v string) (string, error) {
		return each(v, func(one string) (string, error) {
			n, err := numbers.Parse(one, s.region())
			if err != nil {
				return "", fmt.Errorf("must be phone numbers separated by a comma: %q %w", one, err)
			}
			return n, nil
		})
	},
	sms.SettingAlarmMail: func(_ *settings, v string) (string, error) {
		return each(v, func(one string) (string, error) {
			a, err := mail.ParseAddress(one)
			if err != nil || len(one) > 254 {
				return "", fmt.Errorf("must be e-mail addresses separated by a comma, such as admin@example.org")
			}
			return a.Address, nil
		})
	},
	sms.SettingTerms: func(_ *settings, v string) (string, error) {
		if n := utf8.RuneCountInString(v); n > maxTerms {
			return "", fmt.Errorf("must be %d characters at most, and these are %d", maxTerms, n)
		}
		return v, nil
	},
	sms.SettingSetupDone: func(_ *settings, v string) (string, error) { return v, nil },
}

// maxTerms bounds what the owner's terms say; who has more to say links to it.
const maxTerms = 10_000

// maxRecipients bounds a list of whom to tell.
const maxRecipients = 10

// each reads a list that is separated by commas.
func each(list string, read func(string) (string, error)) (string, error) {
	var all []string
	for one := range strings.SplitSeq(list, ",") {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		plain, err := read(one)
		if err != nil {
			return "", err
		}
		if !slices.Contains(all, plain) {
			all = append(all, plain)
		}
	}
	if len(all) > maxRecipients {
		return "", fmt.Errorf("must be %d at most", maxRecipients)
	}
	return strings.Join(all, ","), nil
}

// openSettings reads what people have set. fixed is what the configuration file says.
func openSettings(ctx context.Context, d *db.DB, fixed map[string]string) (*settings, error) {
	s := &settings{db: d, set: map[string]string{}, apply: func() {}}
	s.region = func() string { return s.get(sms.SettingRegion) }
	s.configure(fixed)
	err := d.Read(ctx, func(r db.Querier) error {
		rows, err := r.Query(`SELECT name, value FROM settings`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var name, value string
			if err := rows.Scan(&name, &value); err != nil {
				return err
			}
			s.set[name] = value
		}
		return rows.Err()
	})
	return s, err
}

// configure tells what the configuration file says now; "" leaves it open.
func (s *settings) configure(fixed map[string]string) {
	s.mu.Lock()
	s.fixed = map[string]string{}
	for name, value := range fixed {
		if value != "" {
			s.fixed[name] = value
		}
	}
	s.mu.Unlock()
	s.apply()
}

// get is the value that holds now.
func (s *settings) get(name string) string { return s.look(name).Value }

// list is a setting that names several, separated by commas.
func (s *settings) list(name string) (all []string) {
	for one := range strings.SplitSeq(s.get(name), ",") {
		if one != "" {
			all = append(all, one)
		}
	}
	return all
}

func (s *settings) look(name string) sms.Setting {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.fixed[name]; ok {
		return sms.Setting{Value: v, Source: sms.FromConfiguration}
	}
	if v, ok := s.set[name]; ok {
		return sms.Setting{Value: v, Source: sms.FromPeople}
	}
	d := sms.Setting{Source: sms.FromDefault}
	if name == sms.SettingName {
		d.Value = defaultName
	}
	return d
}

// All returns every setting by its name.
func (s *settings) All() map[string]sms.Setting {
	all := map[string]sms.Setting{}
	for name := range settingRules {
		all[name] = s.look(name)
	}
	return all
}

// Set changes settings, all or none; "" goes back to the default. They hold when
// it returns. Errors: intake.Refused, and a conflict when the configuration file
// sets one of them.
func (s *settings) Set(_ context.Context, values map[string]string) error {
	plain := map[string]string{}
	var wrong intake.Refused
	// The country first: numbers are read by it.
	region := s.get(sms.SettingRegion)
	reader := &settings{region: func() string { return region }}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if (a == sms.SettingRegion) != (b == sms.SettingRegion) {
			if a == sms.SettingRegion {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	for _, name := range names {
		rule := settingRules[name]
		if rule == nil {
			return fmt.Errorf("there is no setting %q", name)
		}
		if now := s.look(name); now.Source == sms.FromConfiguration {
			return queue.Conflict("%s is set in the configuration file, which wins; change it there", name)
		}
		v, err := rule(reader, strings.TrimSpace(values[name]))
		if err != nil {
			wrong = append(wrong, intake.FieldError{Field: name, Detail: err.Error()})
			continue
		}
		if name == sms.SettingRegion {
			region = v
		}
		plain[name] = v
	}
	if len(wrong) > 0 {
		return wrong
	}
	err := s.db.Write(func(tx *db.Tx) error {
		for name, value := range plain {
			if _, err := tx.Exec(`DELETE FROM settings WHERE name = ?`, name); err != nil {
				return err
			}
			if value == "" {
				continue
			}
			if _, err := tx.Exec(`INSERT INTO settings (name, value) VALUES (?,?)`, name, value); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	for name, value := range plain {
		if delete(s.set, name); value != "" {
			s.set[name] = value
		}
	}
	s.mu.Unlock()
	s.apply()
	return nil
}

// restoreSettings takes from the replaced database what the backup knows nothing
// of: what the backup says is what is to hold again. PINs go the other way: the
// SIMs are those of now.
func restoreSettings(tx *db.Tx) error {
	for _, query := range []string{
		`INSERT OR IGNORE INTO settings (name, value) SELECT name, value FROM replaced.settings`,
		`INSERT INTO pins (sim, pin) SELECT sim, pin FROM replaced.pins WHERE true ON CONFLICT DO UPDATE SET pin = excluded.pin`,
	} {
		if _, err := tx.Exec(query); err != nil {
			return err
		}
	}
	return nil
}
