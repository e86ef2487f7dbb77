// The laptop's page, live. The server draws every state; this script hears of
// a change and fetches the page anew. Without it the page refreshes by itself.
"use strict";

(() => {
  const page = "/logged-out-qr-login";
  const lost = "The connection to Changebank is lost. Trying again.";
  const retry = 3000; // milliseconds
  // A free ngrok tunnel puts a page of its own before ours, unless it is asked
  // not to. An EventSource cannot ask: without ngrok's cookie it fails, and the
  // page is fetched again and again in its stead.
  const headers = { "ngrok-skip-browser-warning": "true", "X-Requested-With": "qrlogin.js" };
  const byID = (id) => document.getElementById(id);
  let stream; // open, or coming back by itself; undefined: none is wanted
  let deadline; // in this computer's clock, which may be wrong: only differences count
  let drawing = false;
  let again; // the timer of the next try

  // redraw shows how things stand now. What is on the screen stays if it is
  // that already: somebody may be typing into it.
  async function redraw() {
    if (drawing) return;
    drawing = true;
    try {
      // A redirect is for the browser to follow, with all that the page at its
      // end has to say: here it would be followed unseen.
      const response = await fetch(page, { redirect: "manual", headers });
      if (response.type === "opaqueredirect") {
        location.assign(page);
        return;
      }
      const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
      if (!fresh.getElementById("stage")) throw new Error("not the page");
      const [now, then] = [fresh, document].map((d) => d.getElementById("login-state").dataset);
      if (now.state === then.state && now.attempt === then.attempt) {
        then.seconds = now.seconds;
        note(fresh.getElementById("login-note").textContent);
      } else {
        replace(fresh);
      }
      begin();
    } catch {
      note(lost);
      later();
    } finally {
      drawing = false;
    }
  }

  function later() {
    clearTimeout(again);
    again = setTimeout(redraw, retry);
  }

  function replace(fresh) {
    const focused = byID("stage").contains(document.activeElement);
    byID("stage").replaceChildren(...fresh.getElementById("stage").childNodes);
    document.title = fresh.title;
    // What is said must change inside an element that stays.
    byID("announce").textContent = byID("login-state").textContent + ". " + byID("login-words").textContent;
    const field = byID("the-number");
    if (field) field.focus();
    else if (focused) byID("login-state").focus();
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
    quiet(); // the new state's page listens again, if there is more to come
    if (told.state === "approved") location.assign("/reload");
    else redraw();
  }

  function listen() {
    stream = new EventSource(page + "/events");
    stream.addEventListener("state", hear);
    stream.onerror = () => {
      // The stream comes back by itself after a break, but not after an error
      // of the server or of a proxy, nor to a browser that has logged in.
      if (stream?.readyState === EventSource.CLOSED) {
        quiet();
        later();
      }
      note(lost);
    };
  }

  function quiet() {
    stream?.close();
    stream = undefined;
  }

  // tick shows the time that is left, and looks at what has become of a login
  // whose time is over: its stream may be broken.
  function tick() {
    if (!stream) return;
    const left = Math.max(0, Math.round((deadline - Date.now()) / 1000));
    const place = byID("time-left");
    if (place) place.textContent = Math.floor(left / 60) + ":" + String(left % 60).padStart(2, "0");
    if (left === 0) redraw();
  }

  function begin() {
    const { seconds, ended } = byID("login-state").dataset;
    deadline = Date.now() + 1000 * Number(seconds);
    if (ended === "true") quiet();
    else if (!stream) listen();
    tick();
  }

  // After a sleep the stream may be dead without knowing it.
  function wake() {
    if (!stream || document.hidden) return;
    quiet();
    redraw();
  }
  document.addEventListener("visibilitychange", wake);
  addEventListener("pageshow", (event) => { if (event.persisted) wake(); });

  setInterval(tick, 1000);
  begin();
})();
