// Scans the laptop's code with the camera, on the page for typing a code. The button
// is shown only in browsers that can read QR codes.
"use strict";

(() => {
  // Without https there is no mediaDevices.
  if (!("BarcodeDetector" in window && navigator.mediaDevices)) return;
  // Set before the page is drawn, so that it reserves room for the button, and
  // nothing moves when the button appears.
  document.documentElement.classList.add("may-scan");

  const pause = 150; // milliseconds between two reads
  const looking = "Point the camera at the code on the other device.";
  const off = "The camera is off.";
  const failures = {
    NotAllowedError: "The camera is blocked. Allow it in your browser's settings, or enter the code.",
    NotFoundError: "No camera was found. Enter the code instead.",
    NotReadableError: "The camera is busy. Close other apps that use it and try again, or enter the code.",
  };
  const failure = "Scanning doesn't work here. Enter the code instead.";

  addEventListener("DOMContentLoaded", async () => {
    const formats = await BarcodeDetector.getSupportedFormats().catch(() => []);
    if (!formats.includes("qr_code")) return;
    const detector = new BarcodeDetector({ formats: ["qr_code"] });
    const form = document.getElementById("activate");
    const scanner = document.getElementById("scanner");
    const button = scanner.querySelector("button");
    const video = scanner.querySelector("video");
    const note = document.getElementById("scan-note");
    const label = button.textContent;
    let current; // the scan in progress, with its stream once the camera is on
    scanner.classList.add("can-scan");

    // Screen readers announce each change, and others see it on a small screen.
    function say(sentence) {
      if (note.textContent === sentence) return;
      note.textContent = sentence;
      if (sentence) scanner.scrollIntoView({ block: "nearest" });
    }

    // The same button starts and stops, so it keeps the focus.
    async function start() {
      const scan = current = {};
      button.textContent = "Stop the camera";
      video.hidden = false;
      say("Starting the camera…");
      try {
        scan.stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
        if (current !== scan) { // stopped while the browser asked for permission
          release(scan.stream);
          return;
        }
        // The camera was unplugged, or is no longer allowed.
        scan.stream.getVideoTracks()[0].onended = () => stop(off);
        video.srcObject = scan.stream;
        await video.play();
        say(looking);
        while (current === scan) {
          const found = await detector.detect(video);
          if (current === scan && found.length > 0) take(found.map((code) => code.rawValue));
          await new Promise((next) => setTimeout(next, pause));
        }
      } catch (error) {
        if (current === scan) stop(failures[error.name] ?? failure);
      }
    }

    function stop(sentence) {
      if (!current) return;
      release(current.stream);
      current = undefined;
      video.srcObject = null;
      video.hidden = true;
      button.textContent = label;
      say(sentence);
    }

    function release(stream) {
      for (const track of stream?.getTracks() ?? []) track.stop();
    }

    // take submits the form if one of the texts is our verification URI. Any other
    // text may be a link to anywhere, and is never opened.
    function take(texts) {
      const code = texts.map(userCode).find(Boolean);
      if (!code) {
        say("This isn't a Changebank code.");
        return;
      }
      stop("Code found.");
      form.elements.user_code.value = code;
      form.requestSubmit();
    }

    // userCode returns the user code if text is our verification URI with one.
    function userCode(text) {
      try {
        const uri = new URL(text);
        return uri.origin === location.origin && uri.pathname === location.pathname ? uri.searchParams.get("user_code") : null;
      } catch {
        return null; // not a URL
      }
    }

    button.addEventListener("click", () => current ? stop(off) : start());
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) stop(off);
    });
    addEventListener("pagehide", () => {
      stop("");
      say(""); // in case the person comes back
    });
  });
})();
