// Package words has the texts of pages: the states of a login, durations, and codes
// spelled for screen readers.
package words

import (
	"cmp"
	"slices"
	"strings"
	"time"
	"unicode"

	"changebank/internal/devicegrant"
)

// Words are the texts for one state of a login, and what to do next.
type Words struct {
	Tab         string // the laptop's page title, if not Title
	Title, Text string
}

// A situation is a state, with its reason where the reason has words of its own.
type situation struct {
	State  devicegrant.State
	Reason devicegrant.Reason
}

// screens are the words for one situation: on the laptop, and on the phone once
// there is nothing left to ask. {phone} stands for the device that opened the code.
type screens struct{ laptop, phone Words }

var texts = map[situation]screens{
	{devicegrant.Waiting, ""}: {
		laptop: Words{"Scan the code with your phone", "Waiting for your phone", "Scan the code with your phone's camera. Log in on the phone if it asks you to, then approve. This page updates automatically."},
	},
	{devicegrant.Opened, ""}: {
		laptop: Words{"Approve on your phone", "Opened on {phone}", "Approve there, after checking that it shows the code below."},
	},
	{devicegrant.Number, ""}: {
		laptop: Words{"", "Type the number on your phone", "It shows four digits. Type them here."},
	},
	{devicegrant.Yes, ""}: {
		laptop: Words{"Logging you in", "Approved on {phone}", "Logging you in. This takes a moment."},
		phone:  Words{"", "You approved", "The other device is being logged in. Look at its screen; if nothing happens there, reload its page."},
	},
	{devicegrant.Approved, ""}: {
		laptop: Words{"", "Logging you in", "This takes a moment."},
		phone:  Words{"", "You approved", "The other device is being logged in. Look at its screen; if nothing happens there, reload its page."},
	},
	{devicegrant.Claimed, ""}: {
		laptop: Words{"", "This code has been used", "It logged in this browser. If it didn't, someone else used the code: check the list of your devices."},
		phone:  Words{"", "Done", "The other device is logged in. You can close this page."},
	},
	{devicegrant.Denied, ""}: {
		laptop: Words{"", "Denied on {phone}", "Nobody was logged in. If that was a mistake, show a new code."},
		phone:  Words{"", "Cancelled", "The other device was not logged in. You can close this page."},
	},
	{devicegrant.Expired, ""}: {
		laptop: Words{"", "This code has expired", "It wasn't approved in time. Show a new code when you have your phone at hand."},
		phone:  Words{"", "This code has expired", "If the other device is yours, show a new code there."},
	},
	{devicegrant.Expired, devicegrant.ReasonUnfinished}: {
		laptop: Words{"", "This took too long", "Your phone approved the login, but it wasn't finished in time. Show a new code and approve again."},
		phone:  Words{"", "This code has expired", "You approved, but the login wasn't finished in time. If the other device is yours, show a new code there."},
	},
	{devicegrant.Cancelled, ""}: {
		laptop: Words{"", "Login cancelled", "This code can no longer be used."},
		phone:  Words{"", "Login cancelled on the other device", "It cancelled, or was logged in another way. You can close this page."},
	},
	{devicegrant.Failed, ""}: {
		laptop: Words{"", "The login service refused this login", "Show a new code and try again."},
		phone:  Words{"", "Login not completed", "The other device was not logged in. Its screen says why. Show a new code there."},
	},
	{devicegrant.Failed, devicegrant.ReasonOtherPerson}: {
		laptop: Words{"", "This login was stopped", "The code was used by someone other than the person who approved it. Nobody was logged in. Show a new code, and scan it only with your own phone."},
	},
	{devicegrant.Failed, devicegrant.ReasonNumber}: {
		laptop: Words{"", "Wrong number", "The wrong number was typed too many times, so nobody was logged in. Show a new code, and scan it with the phone in your hand."},
		phone:  Words{"", "This login was stopped", "The wrong number was typed too many times on the other device, so it was not logged in. If that wasn't you, someone tried to log in as you. Don't approve codes you didn't request."},
	},
	{devicegrant.Failed, devicegrant.ReasonMoved}: {
		laptop: Words{"", "The network or browser changed", "After your phone approved, this page was opened on a different network or in a different browser, so nobody was logged in. Show a new code."},
		phone:  Words{"", "This login was stopped", "The other device changed its network or browser after you approved, so it was not logged in. If it's yours, show a new code there."},
	},
	{devicegrant.Failed, devicegrant.ReasonLoggedOut}: {
		laptop: Words{"", "The phone logged out before this was finished", "Nobody was logged in. Log in on your phone, then show a new code."},
		phone:  Words{"", "This login was stopped", "You logged out before it was finished, so the other device was not logged in."},
	},
	{devicegrant.Failed, devicegrant.ReasonSessionEnded}: {
		laptop: Words{"", "This login was ended on another device", "Nobody was logged in here. Show a new code to try again."},
		phone:  Words{"", "This login was stopped", "It was ended in the list of your devices, so the other device was not logged in."},
	},
	{devicegrant.Failed, devicegrant.ReasonCodeGone}: {
		laptop: Words{"", "This code is no longer valid", "The login service has forgotten it. Show a new code and approve again."},
	},
	{devicegrant.Failed, devicegrant.ReasonClient}: {
		laptop: Words{"", "The login service doesn't accept this application", "Phone login won't work until its administrator corrects the settings. The log says what is wrong."},
	},
	{devicegrant.Failed, devicegrant.ReasonUnverified}: {
		laptop: Words{"", "Login not verified", "The login service's answer about you could not be verified. Show a new code and try again."},
	},
}

// Laptop returns the words for the screen of the laptop.
func Laptop(a devicegrant.Attempt) Words {
	w := texts[situation{a.State, a.Reason}].laptop
	if w == (Words{}) {
		w = texts[situation{a.State, ""}].laptop
	}
	if a.State == devicegrant.Waiting && a.ProviderPage {
		there := "check that it shows the code below"
		if a.URIComplete == a.URI {
			there = "type the code below there"
		}
		w.Text = "Scan the code with your phone's camera, log in on the page that opens, and " + there + ". This page updates automatically."
	}
	w.Title = strings.ReplaceAll(w.Title, "{phone}", a.Phone.OwnersName())
	w.Tab = cmp.Or(w.Tab, w.Title)
	return w
}

// Phone returns the words for the phone, once there is nothing left to ask.
func Phone(a devicegrant.Attempt) Words {
	return cmp.Or(texts[situation{a.State, a.Reason}].phone, texts[situation{a.State, ""}].phone)
}

// Steps are what a login by phone takes, for the laptop's page.
var Steps = []string{"Scan the code", "Approve on your phone", "You're logged in"}

// Step returns which of [Steps] comes next; -1 once the login has ended.
func Step(s devicegrant.State) int {
	switch s {
	case devicegrant.Waiting:
		return 0
	case devicegrant.Opened, devicegrant.Number:
		return 1
	case devicegrant.Yes:
		return 2
	}
	return -1
}

// Note says what else the person at the laptop should know, or "".
func Note(a devicegrant.Attempt) string {
	if a.ProviderErrors && a.ProviderPage {
		return "The login service answers with an error. We keep trying. If you denied the login on its page, cancel here too."
	}
	if a.ProviderDown {
		return "The login service is not answering. We keep trying."
	}
	if a.Approval == devicegrant.ApprovalRefused && a.FallbackURL != "" {
		return "The login service asks once more, on a page of its own on your phone. Approve there too."
	}
	if expiring(a) {
		return "Expires in less than a minute. You can show a new code then."
	}
	return ""
}

// expiring reports whether the person at the laptop should hear that its code
// is about to expire. While the phone asks, they are not hurried.
func expiring(a devicegrant.Attempt) bool {
	return (a.State == devicegrant.Waiting || a.State == devicegrant.Number) && time.Until(a.Expires) < time.Minute
}

// Spelled spaces out a code or a number for screen readers, which would read it
// as a word, or as "one thousand and twenty-three". A comma makes them pause:
// where the code has a dash, or else after each three or four characters.
func Spelled(code string) string {
	groups := strings.FieldsFunc(code, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	if len(groups) == 1 {
		all, size := []rune(groups[0]), 3
		if len(all)%4 == 0 {
			size = 4
		}
		groups = nil
		for group := range slices.Chunk(all, size) {
			groups = append(groups, string(group))
		}
	}
	for i, group := range groups {
		groups[i] = strings.Join(strings.Split(group, ""), " ")
	}
	return strings.Join(groups, ", ")
}
