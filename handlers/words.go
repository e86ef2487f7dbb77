package handlers

import (
	"cmp"
	"strings"

	"changebank/internal/devicegrant"
	"changebank/internal/idp"
)

// words say where a login stands: a title, and what to do next.
type words struct{ Title, Text string }

// laptopWords are for the screen that wants to be logged in.
func laptopWords(a devicegrant.Attempt) words {
	phone := capital(a.Phone.OwnersName())
	switch a.State {
	case devicegrant.Waiting:
		if a.OnTheirPage {
			return words{"Waiting for your phone", "Scan the code with your phone's camera, log in at the page that opens, and check that it shows the code below. This page goes on by itself."}
		}
		return words{"Waiting for your phone", "Scan the code with the camera of the phone that you are logged in on, and say yes there. This page goes on by itself."}
	case devicegrant.Opened:
		return words{phone + " opened it", "Say yes there, once you have seen that it shows the code below."}
	case devicegrant.Number:
		return words{"Type the number on your phone", phone + " said yes, and shows four digits. Type them here."}
	case devicegrant.Yes:
		return words{phone + " said yes", "Logging you in. This takes a moment."}
	case devicegrant.Approved:
		return words{"Logging you in", "This takes a moment."}
	case devicegrant.Claimed:
		return words{"This laptop is logged in", "Go to your account."}
	case devicegrant.Denied:
		return words{phone + " said no", "Nobody was logged in. If that was a mistake, show a new code."}
	case devicegrant.Expired:
		if a.Reason == devicegrant.ReasonUnfinished {
			return words{"That took too long", "Your phone said yes, but the login was not finished in time. Show a new code and say yes once more."}
		}
		return words{"This code is too old", "Nobody said yes in time. Show a new code when your phone is at hand."}
	case devicegrant.Cancelled:
		return words{"Cancelled", "This code can no longer be used."}
	}
	switch a.Reason {
	case devicegrant.ReasonOtherPerson:
		return words{"This login was stopped", "The code was used by somebody else than the person who said yes. Nobody was logged in. Show a new code, and scan it only with your own phone."}
	case devicegrant.ReasonNumber:
		return words{"That was not the number", "The wrong number was typed too often, so nobody was logged in. Show a new code, and scan it with the phone in your hand."}
	case devicegrant.ReasonMoved:
		return words{"This laptop changed its network", "After your phone said yes, this page came from another network than before, so nobody was logged in. Show a new code."}
	case devicegrant.ReasonGone:
		return words{"This code is no longer good", "The login service has forgotten it. Show a new code and say yes once more."}
	case devicegrant.ReasonClient:
		return words{"The login service does not accept Changebank", "Nobody can log in this way until whoever runs Changebank has set it right; its log says what is wrong."}
	case devicegrant.ReasonUnverified:
		return words{"This login was stopped", "What the login service says about you could not be verified. Please try a new code."}
	}
	return words{"The login service said no", "It did not let this laptop in. Please try a new code."}
}

// tabTitle is for who sees no more of the laptop's page than its tab.
func tabTitle(a devicegrant.Attempt) string {
	switch a.State {
	case devicegrant.Waiting:
		return "Scan the code with your phone"
	case devicegrant.Opened:
		return "Say yes on your phone"
	case devicegrant.Yes:
		return "Logging you in"
	}
	return laptopWords(a).Title
}

// steps are the way that a login by phone goes, for the laptop's page.
var steps = []string{"Scan the code", "Say yes on the phone", "You are in"}

// stepOf returns which of the steps is to be done next; none once the login
// has ended.
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
	if a.Silent {
		return "The login service does not answer. We keep trying."
	}
	if a.Heard && a.Continue != "" {
		return "The login service asks your phone once more, on a page of its own. Say yes there, too."
	}
	return ""
}

// phoneWords are for the phone, once there is nothing left to ask.
func phoneWords(a devicegrant.Attempt) words {
	switch a.State {
	case devicegrant.Yes, devicegrant.Approved:
		return words{"You said yes", "Your laptop is being logged in. Look at its screen; if nothing moves there, open its page again."}
	case devicegrant.Claimed:
		return words{"Done", "Your laptop is logged in. You can close this page."}
	case devicegrant.Denied:
		return words{"Stopped", "The laptop was not logged in. You can close this page."}
	case devicegrant.Expired:
		return words{"Too late", "The code has expired. If the laptop is yours, have it show a new one."}
	case devicegrant.Cancelled:
		return words{"The laptop has gone", "It cancelled, or was logged in another way. You can close this page."}
	}
	switch a.Reason {
	case devicegrant.ReasonNumber:
		return words{"Stopped", "The laptop typed the wrong number too often, so it was not logged in. If that was not you, somebody tried to log in as you: you need do nothing more."}
	case devicegrant.ReasonMoved:
		return words{"Stopped", "The laptop changed its network after you said yes, so it was not logged in. If it is yours, have it show a new code."}
	}
	return words{"That did not work", "The laptop was not logged in. Its screen says why; have it show a new code."}
}

// refusals are sentences for why a provider let nobody in: for OAuth's error
// codes (RFC 6749, section 4.1.2.1, and OpenID Connect Core, section 3.1.2.6)
// and for FusionAuth's reasons, which say more.
var refusals = map[string]string{
	"access_denied":                      "The login service did not let you in, or you turned back.",
	"login_required":                     "The login service wants you to log in anew.",
	"interaction_required":               "The login service wants to ask you something. Please log in again.",
	"consent_required":                   "The login service needs your consent. Please log in again.",
	"account_selection_required":         "The login service needs to know which account you mean. Please log in again.",
	"server_error":                       "The login service is in trouble. Please try again in a moment.",
	"temporarily_unavailable":            "The login service is busy. Please try again in a moment.",
	"change_password_required":           "The login service wants you to choose a new password. Please log in again and follow its page.",
	"two_factor_required":                "The login service wants a second proof of who you are. Please log in again and follow its page.",
	"registration_required":              "You have no account at Changebank yet. Log in again and create one there.",
	"registration_verification_required": "Your account at Changebank is not confirmed yet. Look for the login service's mail.",
	"email_verification_required":        "Your e-mail address is not confirmed yet. Look for the login service's mail.",
	"user_locked":                        "Your account is locked at the login service. Please ask those who run it.",
	"user_expired":                       "Your account at the login service has expired. Please ask those who run it.",
	"login_prevented":                    "The login service does not let you in at present. Please ask those who run it.",
}

func refusalWords(e *idp.Error) string {
	return cmp.Or(refusals[e.Reason], refusals[e.Code], refusals["access_denied"])
}

// capital returns text with its first letter in upper case.
func capital(text string) string { return strings.ToUpper(text[:1]) + text[1:] }
