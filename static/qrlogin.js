// The laptop's page, live. The server draws every state; this script only
// hears of a change and fetches the page anew. Without it the page refreshes.
"use strict";

(() => {
  const main = document.getElementById("main");
  const state = () => document.getElementById("login-state")?.dataset.state;
  let stream;
  let deadline; // in this computer's clock, which may be wrong: only differences count

  async function redraw() {
    try {
      const response = await fetch("/logged-out-qr-login", { headers: { Accept: "text/html" } });
      if (response.redirected) {
        location.assign(response.url);
        return;
      }
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      main.replaceChildren(...page.getElementById("main").childNodes);
      document.title = page.title;
      begin();
    } catch {
      note("The connection to Changebank is lost. Trying again.");
    }
  }

  function note(text) {
    const place = document.getElementById("login-note");
    if (place && place.textContent !== text) {
      place.textContent = text;
      place.hidden = text === "";
    }
  }

  function hear(event) {
    const told = JSON.parse(event.data);
    if (told.state === "approved") {
      stream.close();
      location.assign("/reload");
    } else if (told.state !== state()) {
      redraw();
    } else {
      note(told.note);
    }
  }

  function listen() {
    stream = new EventSource("/logged-out-qr-login/events");
    stream.addEventListener("state", hear);
    stream.onopen = () => note("");
    stream.onerror = () => note("The connection to Changebank is lost. Trying again.");
  }

  function countdown() {
    const place = document.getElementById("time-left");
    if (!place) return;
    const left = Math.max(0, Math.round((deadline - Date.now()) / 1000));
    place.textContent = Math.floor(left / 60) + ":" + String(left % 60).padStart(2, "0");
  }

  function begin() {
    const place = document.getElementById("time-left");
    deadline = place ? Date.now() + 1000 * Number(place.dataset.seconds) : 0;
    countdown();
    const ended = document.getElementById("login-state")?.dataset.ended === "true";
    if (ended) {
      stream?.close();
      stream = undefined;
    } else if (!stream) {
      listen();
    }
  }

  setInterval(countdown, 1000);
  begin();
})();
