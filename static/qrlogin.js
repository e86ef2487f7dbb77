// Keeps the laptop's page up to date. The server draws every state; this script
// is told about a change and fetches the page again. Without it the page
// refreshes every few seconds.
"use strict";

(() => {
  const page = "/logged-out-qr-login";
  const lost = "Connection lost. Trying again.";
  const retry = 3000; // milliseconds
  // A free ngrok tunnel puts a page of its own in front of ours unless it is
  // asked not to. An EventSource cannot ask: without ngrok's cookie it fails,
  // and the page is fetched repeatedly instead.
  const headers = { "ngrok-skip-browser-warning": "true", "X-Requested-With": "qrlogin.js" };
  const byID = (id) => document.getElementById(id);
  let stream; // open or reconnecting; undefined: not needed
  let deadline; // in this computer's clock, which may be wrong: only differences count
  let drawing = false;
  let again; // the timer of the next try

  // redraw shows the present state. What is on the screen stays if that is
  // already it: someone may be typing into it.
  async function redraw() {
    if (drawing) return;
    drawing = true;
    try {
      // The browser must follow a redirect itself, so that the person sees the
      // page at its end.
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
    // Screen readers announce changes only in an element that stays.
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

  function onState(event) {
    const told = JSON.parse(event.data);
    if (told.state === byID("login-state").dataset.state) {
      note(told.note);
      return;
    }
    closeStream(); // the new state's page opens it again if there is more to come
    if (told.state === "approved") location.assign("/reload");
    else redraw();
  }

  function listen() {
    // Named, since another tab may have started another attempt since.
    stream = new EventSource(page + "/events?attempt=" + byID("login-state").dataset.attempt);
    stream.addEventListener("state", onState);
    stream.onerror = () => {
      // The stream reconnects after a break, but not after an error from the
      // server or a proxy, nor in a browser that has logged in.
      if (stream?.readyState === EventSource.CLOSED) {
        closeStream();
        later();
      }
      note(lost);
    };
  }

  function closeStream() {
    stream?.close();
    stream = undefined;
  }

  // tick shows the time left, and redraws the page of a code that has expired:
  // its stream may be broken.
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
    if (ended === "true") closeStream();
    else if (!stream) listen();
    tick();
  }

  // After the computer slept, the stream may be dead without an error.
  function wake() {
    if (!stream || document.hidden) return;
    closeStream();
    redraw();
  }
  document.addEventListener("visibilitychange", wake);
  addEventListener("pageshow", (event) => { if (event.persisted) wake(); });

  setInterval(tick, 1000);
  begin();
})();
