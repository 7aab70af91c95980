package sms

// Setting is something about the gateway that people decide on the pages, where
// the configuration file leaves it open.
type Setting struct {
	Value  string `json:"value"` // "": nothing
	Source string `json:"source"`
}

// Where a setting's value comes from.
const (
	FromConfiguration = "configuration" // the file, which wins
	FromPeople        = "settings"
	FromDefault       = "default"
)

// The names of the settings.
const (
	SettingRegion    = "default_region"
	SettingName      = "name"           // of the box on its network
	SettingAlarmSMS  = "alarms.sms_to"  // numbers, separated by a comma
	SettingAlarmMail = "alarms.mail_to" // addresses, likewise
	SettingTerms     = "chat.terms"     // of the owner, for people who chat
	SettingSetupDone = "setup.done"     // steps of the page Setup that somebody is done with
)
