// The phone's page, live: it looks how the login goes, and shows the next page
// when there is one. As long as nothing has happened, nothing moves.
"use strict";

(() => {
  const pause = 2000; // milliseconds
  const pastNgrok = { "ngrok-skip-browser-warning": "true" }; // its own page, before ours
  let timer;
  const state = (d) => d.getElementById("login-state");

  async function look() {
    const address = state(document)?.dataset.watch;
    if (!address) return; // it is over
    timer = setTimeout(look, pause);
    if (document.hidden) return;
    let fresh;
    try {
      const response = await fetch(address, { redirect: "manual", headers: pastNgrok });
      if (response.status < 500 && !response.ok) {
        clearTimeout(timer);
        location.reload(); // the page is not about this login any more: whatever it is, it says so once
        return;
      }
      if (!response.ok) throw new Error("not now");
      fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    } catch {
      return; // the buttons will say what is the matter
    }
    const [now, then] = [fresh, document].map(state);
    if (!now || now.dataset.state === then.dataset.state) return;
    const focused = then.contains(document.activeElement);
    then.replaceWith(now);
    document.title = fresh.title;
    // What is said must change inside an element that stays.
    document.getElementById("announce").textContent = now.innerText;
    if (focused) now.querySelector("a, button")?.focus();
  }

  setTimeout(look, pause);
})();
