package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"changebank/internal/testneed"
)

// The laptop's page logs its browser in without a click, with scripts and without.
func TestPageLogsIn(t *testing.T) {
	path := testneed.Program(t, "Chromium is not installed, so nothing is tested in a real browser.", "chromium", "chromium-browser", "google-chrome")
	for name, scripts := range map[string]bool{"with scripts": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, nil)
			allocator, cancel := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:],
				chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU)...)
			t.Cleanup(cancel)
			laptop, cancel := chromedp.NewContext(allocator)
			t.Cleanup(cancel)
			do := func(action func(ctx context.Context) error) {
				t.Helper()
				if err := chromedp.Do(laptop, func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
					return chromedp.Void{}, action(ctx)
				}); err != nil {
					t.Fatal(err)
				}
			}
			do(func(ctx context.Context) error {
				_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !scripts})
				return err
			})
			if err := chromedp.Do(laptop, chromedp.Navigate(s.url+"/qr-login")); err != nil {
				t.Fatal(err)
			}
			page := func() string {
				text, _ := chromedp.Run(laptop, chromedp.OuterHTML("html")) // fails while the page changes
				return text
			}
			waitFor := func(words string) answer {
				t.Helper()
				for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
					if text := page(); strings.Contains(text, words) {
						return answer{body: text}
					} else if time.Since(began) > 30*time.Second {
						t.Fatalf("no %q on the page: %s", words, text)
					}
				}
			}
			link := waitFor("user-code").find(`<a href="([^"]*user_code[^"]*)"`)
			phone := s.phone(richard)
			phone.get(link)
			waitFor("Opened on")
			phone.approve(link)
			waitFor(richard)
		})
	}
}
