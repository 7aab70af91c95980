package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"gatewayd/auth"
)

func peopleCommand() *cobra.Command {
	people := &cobra.Command{
		Use:   "people",
		Short: "Add, list, change and remove the people who sign in with a password",
		Long: "Add, list, change and remove the people who sign in with a name and a password.\n" +
			"It works on the data_dir of the configuration, also while the daemon runs, and what it does holds at once.\n" +
			"Whoever may write there, root above all, gets a lost password back so: gatewayd people reset-password NAME.",
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return usageError{errors.New("people: say add, list, set, reset-password or remove; gatewayd people --help tells more")}
		},
	}
	people.AddCommand(peopleAdd(), peopleList(), peopleSet(), peopleResetPassword(), peopleRemove())
	return people
}

// passwordFlags say where a password comes from.
type passwordFlags struct {
	stdin  bool
	invite bool
}

func (f *passwordFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.stdin, "password-stdin", false, "read the password from standard input: its first line")
	cmd.Flags().BoolVar(&f.invite, "invite", false, "no password: print a code with which the person chooses one, on the page /welcome")
}

// read asks for the password, without showing it.
func (f *passwordFlags) read(cmd *cobra.Command) (string, error) {
	switch in := cmd.InOrStdin(); {
	case f.stdin && f.invite:
		return "", usageError{fmt.Errorf("%s: --password-stdin and --invite don't go together", cmd.CommandPath())}
	case f.invite:
		return "", nil
	case f.stdin:
		line, err := bufio.NewReader(io.LimitReader(in, 4096)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("reading the password: %w", err)
		}
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			return "", usageError{fmt.Errorf("%s: standard input has no password in its first line", cmd.CommandPath())}
		}
		return line, nil
	}
	fd := int(os.Stdin.Fd())
	if !term.IsTerminal(fd) {
		return "", usageError{fmt.Errorf("%s: nobody can be asked for the password here; give --password-stdin, or --invite for a code", cmd.CommandPath())}
	}
	ask := func(what string) (string, error) {
		fmt.Fprint(cmd.ErrOrStderr(), what)
		password, err := term.ReadPassword(fd)
		fmt.Fprintln(cmd.ErrOrStderr())
		return string(password), err
	}
	password, err := ask("Password: ")
	if err != nil {
		return "", err
	}
	again, err := ask("The same once more: ")
	if err == nil && again != password {
		err = errors.New("the two passwords are not the same")
	}
	return password, err
}

// asUsage makes what is wrong with a value a mistake on the command line.
func asUsage(cmd *cobra.Command, err error) error {
	if wrong := (*auth.WrongError)(nil); errors.As(err, &wrong) {
		return usageError{fmt.Errorf("%s: the %w", cmd.CommandPath(), err)}
	}
	return err
}

func peopleAdd() *cobra.Command {
	var path, role string
	var texts bool
	var password passwordFlags
	cmd := &cobra.Command{
		Use:   "add --config FILE NAME --role technician|operator|admin",
		Short: "Add somebody; asks for the password, or prints a code with --invite",
		Args:  exactly(1, "the person's name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if role == "" {
				return usageError{errors.New("people add: --role is missing: technician, operator or admin")}
			}
			chosen, err := password.read(cmd)
			if err != nil {
				return err
			}
			return withKeys(cmd.Context(), path, func(k *auth.Keys) error {
				p, code, err := k.AddPerson(cmd.Context(), auth.Person{Name: args[0], Role: auth.Role(role), SeesTexts: texts}, chosen)
				if err != nil {
					return asUsage(cmd, err)
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "added %s (%s)\n", p.Name, p.Role)
				return printCode(cmd, p, code)
			})
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&role, "role", "", "technician: sees how the box is, tests and restarts modems; operator: sends and reads; admin: all")
	cmd.Flags().BoolVar(&texts, "sees-texts", false, "a technician sees numbers and texts too")
	password.add(cmd)
	return cmd
}

func printCode(cmd *cobra.Command, p auth.Person, code string) error {
	if code == "" {
		return nil
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "the code is good once, until %s UTC, on the page /welcome:\n", day(p.Invited))
	_, err := fmt.Fprintln(cmd.OutOrStdout(), code)
	return err
}

func peopleList() *cobra.Command {
	var path string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list --config FILE",
		Short: "List the people (never a password)",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withKeys(cmd.Context(), path, func(k *auth.Keys) error {
				all, err := k.People(cmd.Context())
				if err != nil {
					return err
				}
				if asJSON {
					views := make([]auth.PersonView, len(all))
					for i := range all {
						views[i] = all[i].View()
					}
					e := json.NewEncoder(cmd.OutOrStdout())
					e.SetIndent("", "  ")
					return e.Encode(map[string]any{"people": views})
				}
				w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
				fmt.Fprintln(w, "ID\tNAME\tROLE\tSEES TEXTS\tPASSWORD\tCREATED\tSIGNED IN\tDISABLED")
				for _, p := range all {
					v := p.View()
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", p.ID, p.Name, p.Role, yesNo(v.SeesTexts), yesNo(p.HasPassword),
						day(p.CreatedAt), day(p.SignedInAt), day(p.DisabledAt))
				}
				return w.Flush()
			})
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&asJSON, "json", false, "as GET /v1/people lists them")
	return cmd
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func peopleSet() *cobra.Command {
	var path, name, role string
	var texts, disabled bool
	cmd := &cobra.Command{
		Use:   "set --config FILE NAME [--role ROLE] [--sees-texts=true|false] [--disabled=true|false] [--name NEW]",
		Short: "Change what somebody is; the person has to sign in again",
		Args:  exactly(1, "the person's name or id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var change auth.PersonChange
			given := false
			for flag, set := range map[string]func(){
				"name": func() { change.Name = &name }, "sees-texts": func() { change.SeesTexts = &texts },
				"disabled": func() { change.Disabled = &disabled },
				"role":     func() { r := auth.Role(role); change.Role = &r },
			} {
				if cmd.Flags().Changed(flag) {
					set()
					given = true
				}
			}
			if !given {
				return usageError{errors.New("people set: say what to change: --role, --sees-texts, --disabled or --name")}
			}
			return doTo(cmd, path, func(ctx context.Context, k *auth.Keys) (auth.Person, error) {
				return k.ChangePerson(ctx, args[0], change)
			}, "changed")
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&name, "name", "", "another name to sign in with")
	cmd.Flags().StringVar(&role, "role", "", "technician, operator or admin")
	cmd.Flags().BoolVar(&texts, "sees-texts", false, "a technician sees numbers and texts too")
	cmd.Flags().BoolVar(&disabled, "disabled", false, "can't sign in")
	return cmd
}

// doTo does something to one person and says so.
func doTo(cmd *cobra.Command, path string, do func(context.Context, *auth.Keys) (auth.Person, error), done string) error {
	return withKeys(cmd.Context(), path, func(k *auth.Keys) error {
		p, err := do(cmd.Context(), k)
		if err != nil {
			return asUsage(cmd, err)
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "%s %s (%s); all sessions of the person have ended\n", done, p.Name, p.Role)
		return nil
	})
}

func peopleResetPassword() *cobra.Command {
	var path string
	var password passwordFlags
	cmd := &cobra.Command{
		Use:   "reset-password --config FILE NAME",
		Short: "Give somebody another password, when the one before is lost",
		Args:  exactly(1, "the person's name or id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			chosen, err := password.read(cmd)
			if err != nil {
				return err
			}
			var code string
			var invited auth.Person
			err = doTo(cmd, path, func(ctx context.Context, k *auth.Keys) (p auth.Person, err error) {
				if !password.invite {
					return k.SetPassword(ctx, args[0], chosen)
				}
				invited, code, err = k.Invite(ctx, args[0])
				return invited, err
			}, "changed the password of")
			if err != nil {
				return err
			}
			return printCode(cmd, invited, code)
		},
	}
	configFlag(cmd, &path)
	password.add(cmd)
	return cmd
}

func peopleRemove() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "remove --config FILE NAME",
		Short: "Remove somebody for good; no backup brings the account back",
		Args:  exactly(1, "the person's name or id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return doTo(cmd, path, func(ctx context.Context, k *auth.Keys) (auth.Person, error) { return k.RemovePerson(ctx, args[0]) }, "removed")
		},
	}
	configFlag(cmd, &path)
	return cmd
}
