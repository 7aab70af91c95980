package hooks

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"gatewayd/sms"
)

// sorted are the values of labels, in the order of their names.
func sorted(labels map[string]any) []any {
	var all []any
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		all = append(all, labels[name])
	}
	return all
}

// readSlack understands the incoming webhooks of Slack, and of Mattermost and
// others that take them too: text, attachments and the texts of blocks
// (https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks,
// https://developers.mattermost.com/integrate/webhooks/incoming/).
func readSlack(v any, _ *Request, _ *sms.HookSettings) made {
	var lines []string
	size := 0
	add := func(s string) {
		if size >= maxOutput { // no text has room for more
			return
		}
		if s = strings.TrimSpace(slackText(s)); s != "" {
			lines = append(lines, s)
			size += len(s) + 1
		}
	}
	add(str(v, "text"))
	if len(lines) == 0 {
		for _, block := range list(get(v, "blocks")) {
			add(firstOf(str(block, "text", "text"), str(block, "text")))
			for _, field := range list(get(block, "fields")) {
				add(str(field, "text"))
			}
		}
	}
	for _, a := range list(get(v, "attachments")) {
		before := len(lines)
		add(str(a, "pretext"))
		add(str(a, "title"))
		add(str(a, "text"))
		for _, field := range list(get(a, "fields")) {
			if title := str(field, "title"); title != "" {
				add(title + ": " + plainText(get(field, "value")))
			}
		}
		if len(lines) == before {
			add(str(a, "fallback"))
		}
	}
	if len(lines) == 0 {
		return made{skip: "it has no text: text, blocks and attachments are empty"}
	}
	return made{text: strings.Join(lines, "\n")}
}

var slackMark = regexp.MustCompile(`<([^<>|]*)(?:\|([^<>]*))?>`)

// slackText takes Slack's marks out of a text: <https://…|words>, <!here>, &amp;.
func slackText(s string) string {
	s = slackMark.ReplaceAllStringFunc(s, func(mark string) string {
		m := slackMark.FindStringSubmatch(mark)
		target, words := m[1], m[2]
		switch {
		case target == "":
			return mark
		case target[0] == '!' || target[0] == '@' || target[0] == '#':
			if words != "" {
				return words
			}
			if target[0] == '!' {
				return "@" + target[1:]
			}
			return target
		case words == "" || words == target:
			return strings.TrimPrefix(target, "mailto:")
		case strings.HasPrefix(target, "mailto:"):
			return words
		}
		return words + " " + target
	})
	return strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(s)
}

// readGitHub understands GitHub's webhooks, and those of Gitea and Forgejo,
// which are alike (https://docs.github.com/en/webhooks/webhook-events-and-payloads).
func readGitHub(v any, r *Request, s *sms.HookSettings) made {
	event := firstOf(r.Header.Get("X-GitHub-Event"), r.Header.Get("X-Gitea-Event"))
	m := made{delivery: firstOf(r.Header.Get("X-GitHub-Delivery"), r.Header.Get("X-Gitea-Delivery"))}
	repository := firstOf(str(v, "repository", "full_name"), str(v, "organization", "login"))
	who, action := firstOf(str(v, "sender", "login"), str(v, "pusher", "name")), strings.ReplaceAll(str(v, "action"), "_", " ")
	if event == "" {
		m.skip = "it is no webhook of GitHub: the header X-GitHub-Event is missing"
		return m
	}
	says := ""
	switch event {
	case "ping":
		m.skip = "it only tries whether somebody is there"
	case "push":
		says, m.skip = pushed(v, who)
	case "workflow_run", "check_run", "check_suite", "workflow_job":
		says, m.skip = ran(get(v, event), event, s.Resolved)
	case "status":
		state := str(v, "state")
		says = "status of " + str(v, "context") + " is " + state + ": " + str(v, "description")
		m.skip = unlessFailed(state, s.Resolved)
	case "issues", "pull_request", "discussion":
		about := get(v, strings.TrimSuffix(event, "s"))
		if merged, _ := get(about, "merged").(bool); merged && action == "closed" {
			action = "merged"
		}
		says = fmt.Sprintf("%s %s %s #%s: %s", who, action, strings.ReplaceAll(strings.TrimSuffix(event, "s"), "_", " "), str(about, "number"), str(about, "title"))
	case "issue_comment", "commit_comment", "pull_request_review_comment", "discussion_comment":
		says = fmt.Sprintf("%s commented on #%s: %s", who, firstOf(str(v, "issue", "number"), str(v, "pull_request", "number"), str(v, "discussion", "number")), str(v, "comment", "body"))
	case "release":
		says = who + " " + action + " release " + firstOf(str(v, "release", "name"), str(v, "release", "tag_name"))
	case "create", "delete":
		says = who + " " + event + "d " + str(v, "ref_type") + " " + str(v, "ref")
	default:
		says = strings.TrimSpace(who + " " + action + " " + strings.ReplaceAll(event, "_", " "))
	}
	m.text = strings.TrimPrefix(repository+": "+shorten(oneLine(clean(says)), 300), ": ")
	return m
}

func pushed(v any, who string) (says, skip string) {
	ref := str(v, "ref")
	branch := strings.TrimPrefix(strings.TrimPrefix(ref, "refs/heads/"), "refs/tags/")
	commits := list(get(v, "commits"))
	if gone, _ := get(v, "deleted").(bool); gone {
		return who + " deleted " + branch, ""
	}
	if len(commits) == 0 {
		if strings.HasPrefix(ref, "refs/tags/") {
			return who + " pushed tag " + branch, ""
		}
		return who + " pushed " + branch, ""
	}
	number := fmt.Sprintf("%d commits", len(commits))
	if len(commits) == 1 {
		number = "1 commit"
	}
	head := firstOf(str(v, "head_commit", "message"), str(commits[len(commits)-1], "message"))
	head, _, _ = strings.Cut(strings.TrimSpace(head), "\n")
	return fmt.Sprintf("%s pushed %s to %s: %s", who, number, branch, head), ""
}

// ran tells of a workflow, once it is over.
func ran(run any, event string, resolved bool) (says, skip string) {
	conclusion := str(run, "conclusion")
	if conclusion == "" {
		return "", "the run is not over"
	}
	name := firstOf(str(run, "name"), str(run, "app", "name"), strings.ReplaceAll(event, "_", " "))
	branch := firstOf(str(run, "head_branch"), str(run, "check_suite", "head_branch"))
	says = name + " " + strings.ReplaceAll(conclusion, "_", " ")
	if branch != "" {
		says += " on " + branch
	}
	if title := str(run, "display_title"); title != "" {
		says += ": " + title
	}
	return says, unlessFailed(conclusion, resolved)
}

// unlessFailed is why a result is not told: what went well is told like a
// trouble that is over.
func unlessFailed(result string, resolved bool) string {
	switch result {
	case "failure", "error", "timed_out", "startup_failure", "action_required":
		return ""
	case "success":
		if resolved {
			return ""
		}
		return "resolved notices are off, and it went well"
	}
	return "nothing failed"
}
