package browser

import (
	"net/http"

	"github.com/mileusna/useragent"
)

// names are the browsers that are named on pages, and how. A header can hold
// any words, even "Your own laptop, checked by us", so only these are shown.
var names = map[string]string{
	"Android browser":          "Android Browser",
	"Huawei Browser":           "Huawei Browser",
	"Miui Browser":             "Mi Browser",
	"YaBrowser":                "Yandex Browser",
	useragent.Chrome:           "Chrome",
	useragent.Edge:             "Edge",
	useragent.FacebookApp:      "Facebook",
	useragent.Firefox:          "Firefox",
	useragent.HeadlessChrome:   "Headless Chrome",
	useragent.InstagramApp:     "Instagram",
	useragent.InternetExplorer: "Internet Explorer",
	useragent.Opera:            "Opera",
	useragent.OperaMini:        "Opera Mini",
	useragent.OperaTouch:       "Opera Touch",
	useragent.Safari:           "Safari",
	useragent.SamsungBrowser:   "Samsung Internet",
	useragent.TiktokApp:        "TikTok",
	useragent.Vivaldi:          "Vivaldi",
}

// systems are the operating systems that are named on pages, and how.
var systems = map[string]string{
	useragent.Android:  "Android",
	useragent.ChromeOS: "ChromeOS",
	useragent.FreeBSD:  "FreeBSD",
	useragent.Harmony:  "HarmonyOS",
	useragent.IOS:      "iOS",
	useragent.Linux:    "Linux",
	useragent.MacOS:    "macOS",
	useragent.Windows:  "Windows",
}

// Name names the browser and its system in well-known words, as far as the
// User-Agent header can be believed. No other words of the header are in it.
func (b Browser) Name() string {
	ua := useragent.Parse(b.Agent)
	name, system := names[ua.Name], systems[ua.OS]
	if system == "iOS" && ua.Tablet {
		system = "iPadOS"
	}
	switch {
	case name == "" && system == "":
		return "An unknown browser"
	case name == "":
		return "A browser on " + system
	case system == "":
		return name
	}
	return name + " on " + system
}

// OwnersName names the phone to its owner: "your iPhone".
func (b Browser) OwnersName() string {
	ua := useragent.Parse(b.Agent)
	switch {
	case ua.OS == useragent.IOS && ua.Tablet:
		return "your iPad"
	case ua.OS == useragent.IOS:
		return "your iPhone"
	case ua.OS == useragent.Android && ua.Tablet:
		return "your Android tablet"
	case ua.OS == useragent.Android:
		return "your Android phone"
	case names[ua.Name] == "":
		return "your phone"
	}
	return b.Name()
}

// IsPhone reports whether r says that it comes from a phone.
func IsPhone(r *http.Request) bool {
	if hint := r.Header.Get("Sec-CH-UA-Mobile"); hint != "" {
		return hint == "?1"
	}
	return useragent.Parse(agentOf(r)).Mobile
}
