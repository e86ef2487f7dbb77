// Keeps the laptop's page up to date. The server draws every state; this script
// is told about a change and fetches the page again. Without it the page
// refreshes every few seconds.
"use strict";

// The page's refresh follows this script in the HTML, and ends with
// </template>. So it takes effect if the script is blocked, and only then.
if ("beforeRefresh" in document.currentScript.dataset) document.write("<template>");

addEventListener("DOMContentLoaded", () => {
  const page = "/logged-out-qr-login";
  const lost = "Connection lost. Trying again.";
  const retry = 3000; // milliseconds, as everything here
  const reconnecting = 2500; // how long a stream may take for it unnoticed, as when a replica stops
  const firstEvent = 5000; // how long a stream may take to begin
  const silence = 40000; // between two events of a stream; the server sends one every 15 s
  const tooLate = 40000; // for an answer; the server takes up to 25 s
  const between = 1000; // two long polls: an answer may come at once
  const hiddenPause = 15000; // between two looks of a page that nobody sees
  const moment = 500; // after the phone's yes; by then the laptop is usually logged in
  const sleep = 10000; // no timer is so late while the computer is awake
  // A free ngrok tunnel puts a page of its own in front of ours unless it is
  // asked not to. An EventSource cannot ask: without ngrok's cookie it fails,
  // and long polls take its place.
  const headers = { "ngrok-skip-browser-warning": "true", "X-Requested-With": "qrlogin.js" };
  const byID = (id) => document.getElementById(id);
  // Three ways to learn of a change: an event stream; long polls, for the rest of
  // the page's life once a stream was silent or refused, since something on the
  // way may hold streams back; looks while the page is hidden, since six open
  // streams block the whole site over HTTP/1.1.
  let streams = true;
  let way; // "stream", "long poll" or "look"; undefined: none, since the login has ended or a try has failed
  let stream; // an EventSource
  let asking; // an AbortController of the question on its way
  let expected; // until when the stream must send something
  let broken; // since when the stream is, while it reconnects
  let deadline; // of the login; in this computer's clock, which may be wrong: only differences count
  let ticked = Date.now();
  let drawing = false;
  let missed; // what the stream said meanwhile
  let again; // the timer of the next try, question or look

  // redraw shows the present state. What is on the screen stays if that is
  // already it: someone may be typing into it.
  async function redraw() {
    if (drawing) return;
    drawing = true;
    try {
      // The browser must follow a redirect itself, so that the person sees the
      // page at its end.
      const response = await fetch(page, { redirect: "manual", headers, signal: AbortSignal.timeout(tooLate) });
      if (response.type === "opaqueredirect") {
        leave(page);
        return;
      }
      const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
      if (!fresh.getElementById("stage")) throw new Error("not the page");
      const [now, then] = [fresh, document].map((d) => d.getElementById("login-state").dataset);
      if (now.attempt !== then.attempt) stop(); // the stream is of another login
      if (now.state === then.state && now.attempt === then.attempt) {
        then.seconds = now.seconds;
        note(fresh.getElementById("login-note").textContent);
      } else {
        replace(fresh);
      }
      begin();
    } catch {
      note(lost);
      stop();
      later();
    } finally {
      drawing = false;
    }
    const event = missed;
    missed = undefined;
    if (event) told(event);
  }

  function later(what = redraw, pause = document.hidden ? hiddenPause : retry) {
    clearTimeout(again);
    again = setTimeout(what, pause);
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

  // told gets the present state from the server. A stream stays open over a
  // redraw, and tells what has changed since. A question was about the state on
  // the screen, so the page of the new one asks again.
  function told(event) {
    if (event.state === byID("login-state").dataset.state) {
      note(event.note);
      return;
    }
    if (!stream) stop();
    if (drawing) missed = event;
    else if (event.state === "approved") leave("/reload");
    else if (event.state === "yes" && stream) later(redraw, moment);
    else redraw();
  }

  // leave goes to another page. What the stream says meanwhile must not lead the
  // browser elsewhere.
  function leave(to) {
    stop();
    location.assign(to);
  }

  // events returns the address of what tells about the login. It names the
  // login, since another tab may have started another one.
  const events = () => page + "/events?attempt=" + byID("login-state").dataset.attempt;

  function listen() {
    expected = Date.now() + firstEvent;
    broken = undefined;
    stream = new EventSource(events());
    stream.addEventListener("state", (event) => {
      expected = Date.now() + silence;
      broken = undefined;
      told(JSON.parse(event.data));
    });
    stream.addEventListener("alive", () => { expected = Date.now() + silence; });
    stream.onerror = () => {
      // The stream reconnects after a break, but not after an error from the
      // server or a proxy, nor in a browser that has logged in.
      if (stream?.readyState === EventSource.CLOSED) {
        streams = false;
        stop();
        later();
        return;
      }
      if (drawing) { // usually the login has ended; the page goes on if there is more to come
        stop();
        return;
      }
      broken ??= Date.now();
      expected = Math.min(expected, broken + firstEvent);
    };
  }

  // ask asks whether the state is still the one on the screen. The server
  // answers at the first change or after a while, and at once if nobody sees the
  // page.
  async function ask() {
    const mine = asking = new AbortController();
    const timer = setTimeout(() => mine.abort(), tooLate);
    try {
      const hidden = way === "look" ? "&hidden=1" : "";
      const address = events() + "&since=" + byID("login-state").dataset.state + hidden;
      const response = await fetch(address, { redirect: "manual", headers, signal: mine.signal });
      if (response.status !== 200) throw new Error("the page says why");
      const answer = await response.json();
      if (asking !== mine) return;
      later(ask, way === "look" ? hiddenPause : between);
      told(answer);
    } catch {
      if (asking !== mine) return; // stopped
      stop();
      later();
    } finally {
      clearTimeout(timer);
    }
  }

  function stop() {
    way = undefined;
    stream?.close();
    asking?.abort();
    stream = asking = undefined;
    clearTimeout(again);
  }

  // follow learns of changes from now on, in the way that fits.
  function follow() {
    const wanted = document.hidden ? "look" : streams ? "stream" : "long poll";
    if (way === wanted) return;
    stop();
    way = wanted;
    if (way === "stream") listen();
    else if (way === "look") later(ask, hiddenPause);
    else ask();
  }

  // tick shows the time left, and redraws the page of a code that has expired.
  // It also finds a stream that is silent.
  function tick() {
    const now = Date.now();
    const slept = now - ticked > sleep;
    ticked = now;
    if (!way) return;
    const left = Math.max(0, Math.round((deadline - now) / 1000));
    const place = byID("time-left");
    if (place) place.textContent = Math.floor(left / 60) + ":" + String(left % 60).padStart(2, "0");
    if (left === 0) redraw();
    else if (slept) wake();
    else if (stream && broken && now > broken + reconnecting) note(lost);
    else if (stream && now > expected) {
      streams = false;
      follow();
    }
  }

  const ended = () => byID("login-state").dataset.ended === "true";

  function begin() {
    deadline = Date.now() + 1000 * Number(byID("login-state").dataset.seconds);
    if (ended()) stop();
    else follow();
    tick();
  }

  // After the computer slept, the stream may be dead without an error.
  function wake() {
    if (document.hidden || ended()) return;
    stop();
    redraw();
  }

  document.addEventListener("visibilitychange", () => {
    if (way && document.hidden) follow();
    else wake();
  });
  addEventListener("pageshow", (event) => { if (event.persisted) wake(); });

  setInterval(tick, 1000);
  begin();
});
