// The laptop's page, live. The server draws every state; this script only
// hears of a change and fetches the page anew. Without it the page refreshes.
"use strict";

(() => {
  const page = "/logged-out-qr-login";
  const lost = "The connection to Changebank is lost. Trying again.";
  const retry = 3000; // milliseconds
  // A free ngrok tunnel puts a page of its own before ours, unless it is asked
  // not to. An EventSource cannot ask: without ngrok's cookie it fails, and the
  // page is fetched again and again in its stead.
  const pastNgrok = { "ngrok-skip-browser-warning": "true" };
  const byID = (id) => document.getElementById(id);
  let stream;
  let deadline; // in this computer's clock, which may be wrong: only differences count

  async function redraw() {
    try {
      // A redirect is for the browser to follow, with all that the page at its
      // end has to say: here it would be followed unseen.
      const response = await fetch(page, { redirect: "manual", headers: pastNgrok });
      if (response.type === "opaqueredirect") {
        location.assign(page);
        return;
      }
      const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
      if (!fresh.getElementById("stage")) throw new Error("not the page");
      const focused = byID("stage").contains(document.activeElement);
      byID("stage").replaceChildren(...fresh.getElementById("stage").childNodes);
      document.title = fresh.title;
      // What is said must change inside an element that stays.
      byID("announce").textContent = byID("login-state").textContent + ". " + byID("login-words").textContent;
      const field = byID("the-number");
      if (focused || field) (field ?? byID("stage").querySelector("button"))?.focus();
      begin();
    } catch {
      note(lost);
      setTimeout(redraw, retry);
    }
  }

  function note(text) {
    const place = byID("login-note");
    if (place.textContent === text) return;
    place.textContent = text;
    place.hidden = text === "";
    if (text !== "") byID("announce").textContent = text;
  }

  function hear(event) {
    const told = JSON.parse(event.data);
    if (told.state === byID("login-state").dataset.state) {
      note(told.note);
      return;
    }
    stream.close(); // the new state's page listens again, if there is more to come
    stream = undefined;
    if (told.state === "approved") {
      location.assign("/reload");
    } else {
      redraw();
    }
  }

  function listen() {
    stream = new EventSource(page + "/events");
    stream.addEventListener("state", hear);
    stream.onopen = () => note("");
    stream.onerror = () => {
      // The stream comes back by itself after a break, but not after an error
      // of the server or of a proxy.
      if (stream?.readyState === EventSource.CLOSED) {
        stream = undefined;
        setTimeout(redraw, retry);
      }
      note(lost);
    };
  }

  function countdown() {
    const place = byID("time-left");
    if (!place) return;
    const left = Math.max(0, Math.round((deadline - Date.now()) / 1000));
    place.textContent = Math.floor(left / 60) + ":" + String(left % 60).padStart(2, "0");
  }

  function begin() {
    deadline = Date.now() + 1000 * Number(byID("time-left")?.dataset.seconds ?? 0);
    countdown();
    if (byID("login-state").dataset.ended === "true") {
      stream?.close();
      stream = undefined;
    } else if (!stream) {
      listen();
    }
  }

  setInterval(countdown, 1000);
  begin();
})();
