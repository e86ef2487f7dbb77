package handlers

import (
	"cmp"
	"slices"
	"strings"
	"time"
	"unicode"

	"changebank/internal/devicegrant"
)

// words say how a login stands, and what to do next.
type words struct {
	Tab         string // the laptop's page title, if not Title
	Title, Text string
}

// A situation is a state, with its reason where the reason has words of its own.
type situation struct {
	State  devicegrant.State
	Reason devicegrant.Reason
}

// screens are the words for one situation: on the laptop that is to be logged
// in, and on the phone once there is nothing left to ask. {phone} stands for
// what opened the code.
type screens struct{ laptop, phone words }

var texts = map[situation]screens{
	{devicegrant.Waiting, ""}: {
		laptop: words{"Scan the code with your phone", "Waiting for your phone", "Scan the code with your phone's camera. Log in on the phone if it asks you to, then approve. This page updates automatically."},
	},
	{devicegrant.Opened, ""}: {
		laptop: words{"Approve on your phone", "Opened on {phone}", "Approve there, after checking that it shows the code below."},
	},
	{devicegrant.Number, ""}: {
		laptop: words{"", "Type the number on your phone", "It shows four digits. Type them here."},
	},
	{devicegrant.Yes, ""}: {
		laptop: words{"Logging you in", "Approved on {phone}", "Logging you in. This takes a moment."},
		phone:  words{"", "You approved", "The other device is being logged in. Look at its screen; if nothing happens there, reload its page."},
	},
	{devicegrant.Approved, ""}: {
		laptop: words{"", "Logging you in", "This takes a moment."},
		phone:  words{"", "You approved", "The other device is being logged in. Look at its screen; if nothing happens there, reload its page."},
	},
	{devicegrant.Claimed, ""}: {
		laptop: words{"", "This code has been used", "It logged in this browser. If it didn't, someone else used the code: check the list of your devices."},
		phone:  words{"", "Done", "The other device is logged in. You can close this page."},
	},
	{devicegrant.Denied, ""}: {
		laptop: words{"", "Denied on {phone}", "Nobody was logged in. If that was a mistake, show a new code."},
		phone:  words{"", "Cancelled", "The other device was not logged in. You can close this page."},
	},
	{devicegrant.Expired, ""}: {
		laptop: words{"", "This code has expired", "It wasn't approved in time. Show a new code when you have your phone at hand."},
		phone:  words{"", "This code has expired", "If the other device is yours, show a new code there."},
	},
	{devicegrant.Expired, devicegrant.ReasonUnfinished}: {
		laptop: words{"", "This took too long", "Your phone approved the login, but it wasn't finished in time. Show a new code and approve again."},
		phone:  words{"", "This code has expired", "You approved, but the login wasn't finished in time. If the other device is yours, show a new code there."},
	},
	{devicegrant.Cancelled, ""}: {
		laptop: words{"", "Login cancelled", "This code can no longer be used."},
		phone:  words{"", "Login cancelled on the other device", "It cancelled, or was logged in another way. You can close this page."},
	},
	{devicegrant.Failed, ""}: {
		laptop: words{"", "The login service refused this login", "Show a new code and try again."},
		phone:  words{"", "Login not completed", "The other device was not logged in. Its screen says why. Show a new code there."},
	},
	{devicegrant.Failed, devicegrant.ReasonOtherPerson}: {
		laptop: words{"", "This login was stopped", "The code was used by someone other than the person who approved it. Nobody was logged in. Show a new code, and scan it only with your own phone."},
	},
	{devicegrant.Failed, devicegrant.ReasonNumber}: {
		laptop: words{"", "Wrong number", "The wrong number was typed too many times, so nobody was logged in. Show a new code, and scan it with the phone in your hand."},
		phone:  words{"", "This login was stopped", "The wrong number was typed too many times on the other device, so it was not logged in. If that wasn't you, someone tried to log in as you. Don't approve codes you didn't request."},
	},
	{devicegrant.Failed, devicegrant.ReasonMoved}: {
		laptop: words{"", "The network or browser changed", "After your phone approved, this page was opened on a different network or in a different browser, so nobody was logged in. Show a new code."},
		phone:  words{"", "This login was stopped", "The other device changed its network or browser after you approved, so it was not logged in. If it's yours, show a new code there."},
	},
	{devicegrant.Failed, devicegrant.ReasonLoggedOut}: {
		laptop: words{"", "The phone logged out before this was finished", "Nobody was logged in. Log in on your phone, then show a new code."},
		phone:  words{"", "This login was stopped", "You logged out before it was finished, so the other device was not logged in."},
	},
	{devicegrant.Failed, devicegrant.ReasonSessionEnded}: {
		laptop: words{"", "This login was ended on another device", "Nobody was logged in here. Show a new code to try again."},
		phone:  words{"", "This login was stopped", "It was ended in the list of your devices, so the other device was not logged in."},
	},
	{devicegrant.Failed, devicegrant.ReasonCodeGone}: {
		laptop: words{"", "This code is no longer valid", "The login service has forgotten it. Show a new code and approve again."},
	},
	{devicegrant.Failed, devicegrant.ReasonClient}: {
		laptop: words{"", "Login service doesn't accept Changebank", "Phone login won't work until its administrator corrects the settings. The log says what is wrong."},
	},
	{devicegrant.Failed, devicegrant.ReasonUnverified}: {
		laptop: words{"", "Login not verified", "The login service's answer about you could not be verified. Show a new code and try again."},
	},
}

// laptopWords are for the screen of the laptop.
func laptopWords(a devicegrant.Attempt) words {
	w := texts[situation{a.State, a.Reason}].laptop
	if w == (words{}) {
		w = texts[situation{a.State, ""}].laptop
	}
	if a.State == devicegrant.Waiting && a.ProviderPage {
		w.Text = "Scan the code with your phone's camera, log in on the page that opens, and check that it shows the code below. This page updates automatically."
	}
	w.Title = strings.ReplaceAll(w.Title, "{phone}", a.Phone.OwnersName())
	w.Tab = cmp.Or(w.Tab, w.Title)
	return w
}

// phoneWords are for the phone, once there is nothing left to ask.
func phoneWords(a devicegrant.Attempt) words {
	return cmp.Or(texts[situation{a.State, a.Reason}].phone, texts[situation{a.State, ""}].phone)
}

// steps are what a login by phone takes, for the laptop's page.
var steps = []string{"Scan the code", "Approve on your phone", "You're logged in"}

// stepOf returns which of the steps comes next; -1 once the login has ended.
func stepOf(s devicegrant.State) int {
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

// laptopNote says what else the person at the laptop should know.
func laptopNote(a devicegrant.Attempt) string {
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

// spelled spaces out a code or a number for screen readers, which would read it
// as a word, or as "one thousand and twenty-three". A comma makes them pause:
// where the code has a dash, or else after each three or four characters.
func spelled(code string) string {
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
