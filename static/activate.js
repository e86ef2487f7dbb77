// Keeps the phone's page up to date: it asks the server for the login's state,
// and shows the next page when it changes.
"use strict";

// The page's refresh follows this script in the HTML, and ends with
// </template>. So it takes effect if the script is blocked, and only then.
if ("beforeRefresh" in document.currentScript.dataset) document.write("<template>");

addEventListener("DOMContentLoaded", () => {
  const shortest = 2000; // milliseconds between two looks
  const longest = 20000;
  let pause = shortest;
  const pastNgrok = { "ngrok-skip-browser-warning": "true" }; // its own page in front of ours
  let timer;
  const state = (d) => d.getElementById("login-state");

  async function look() {
    const address = state(document)?.dataset.watch;
    if (!address || document.hidden) return; // nothing will change, or nobody would see it
    // What a person waits for comes soon. A page that stays open is left alone.
    timer = setTimeout(look, pause);
    pause = Math.min(1.25 * pause, longest);
    let fresh;
    try {
      const response = await fetch(address, { redirect: "manual", headers: pastNgrok });
      if (response.status >= 500) throw new Error("not now");
      fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    } catch {
      return; // the buttons still work, or say what is wrong
    }
    const [now, then] = [fresh, document].map(state);
    if (!now) {
      location.reload(); // the page is no longer about this login
      return;
    }
    if (now.dataset.state === then.dataset.state) return;
    pause = shortest;
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
  document.addEventListener("visibilitychange", () => {
    arm();
    clearTimeout(timer);
    pause = shortest;
    look();
  });
  document.addEventListener("submit", (event) => {
    if (!armed && event.target.id === "approve") event.preventDefault();
  });

  timer = setTimeout(look, pause);
});
