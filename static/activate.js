// Keeps the phone's page up to date: it asks the server for the login's state,
// and shows the next page when it changes.
"use strict";

(() => {
  const pause = 2000; // milliseconds
  const pastNgrok = { "ngrok-skip-browser-warning": "true" }; // its own page in front of ours
  let timer;
  const state = (d) => d.getElementById("login-state");

  async function look() {
    const address = state(document)?.dataset.watch;
    if (!address) return; // nothing will change
    timer = setTimeout(look, pause);
    if (document.hidden) return;
    let fresh;
    try {
      const response = await fetch(address, { redirect: "manual", headers: pastNgrok });
      if (response.status < 500 && !response.ok) {
        clearTimeout(timer);
        location.reload(); // the page is no longer about this login
        return;
      }
      if (!response.ok) throw new Error("not now");
      fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    } catch {
      return; // the buttons still work, or say what is wrong
    }
    const [now, then] = [fresh, document].map(state);
    if (!now || now.dataset.state === then.dataset.state) return;
    const focused = then.contains(document.activeElement);
    then.replaceWith(now);
    arm();
    document.title = fresh.title;
    // Screen readers announce changes only in an element that stays.
    document.getElementById("announce").textContent = spoken(now);
    if (focused) now.querySelector("a, button")?.focus();
  }

  // spoken is what a screen reader announces of a page: not its buttons, and a
  // number digit by digit.
  function spoken(page) {
    const copy = page.cloneNode(true);
    for (const silent of copy.querySelectorAll("form, .buttons, [aria-hidden]")) silent.remove();
    return copy.textContent.replace(/\s+/g, " ").trim();
  }

  // The buttons work once the page has been in front for a moment: the second
  // click of a double click that began on another site must not answer.
  const settle = 1000; // milliseconds
  let armed = false;
  let arming;

  function show() {
    for (const button of document.querySelectorAll("#approve button")) {
      if (armed) button.removeAttribute("aria-disabled");
      else button.setAttribute("aria-disabled", "true");
    }
  }

  function disarm() {
    clearTimeout(arming);
    armed = false;
    show();
  }

  function arm() {
    disarm();
    if (document.visibilityState !== "visible" || !document.hasFocus()) return;
    arming = setTimeout(() => { armed = true; show(); }, settle);
  }

  addEventListener("focus", arm);
  addEventListener("blur", disarm);
  addEventListener("pageshow", arm);
  document.addEventListener("visibilitychange", arm);
  document.addEventListener("submit", (event) => {
    if (!armed && event.target.id === "approve") event.preventDefault();
  });

  setTimeout(look, pause);
})();
