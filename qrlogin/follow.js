// Keeps the laptop's page up to date: reloads it when the state of its login
// changes. Without this script, or if it is blocked, the page refreshes.
"use strict";

const told = document.currentScript.dataset;

// The page's refresh follows this script in the HTML, and ends with </template>.
if ("refresh" in told) document.write("<template>");

(async () => {
  for (;;) {
    const hidden = document.hidden ? "&hidden=1" : ""; // answered at once
    const address = `${told.page}/events?attempt=${told.attempt}&since=${told.state}${hidden}`;
    let status = 0;
    try {
      const response = await fetch(address, { redirect: "manual", signal: AbortSignal.timeout(40000) });
      status = response.status;
      if (status === 200 && (await response.json()).state === told.state) status = 0; // nothing new
    } catch {} // no connection: try again
    if (status === 429 || status >= 500) status = 0;
    if (status) return location.replace(told.page);
    await new Promise((resolve) => setTimeout(resolve, hidden ? 15000 : 1000));
  }
})();
