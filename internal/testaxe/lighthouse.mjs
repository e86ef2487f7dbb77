// Prints Lighthouse's scores for the main pages, on a phone and on a laptop (npm
// run lighthouse). It starts the program on free ports with a data folder of its own
// and fails unless accessibility and best practices are perfect.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import lighthouse, { desktopConfig } from "lighthouse";
import puppeteer from "puppeteer-core";

const top = join(import.meta.dirname, "../..");
const data = mkdtempSync(join(tmpdir(), "changebank-"));
const program = join(data, "changebank");
const person = "richard@example.com";

// run resolves when the command exits with 0.
function run(command, args) {
  return new Promise((done, failed) => {
    spawn(command, args, { cwd: top, stdio: "inherit" })
      .on("error", failed)
      .on("exit", (code) => (code === 0 ? done() : failed(new Error(`${command} exited with ${code}`))));
  });
}

// start returns the bank's process and URL.
async function start() {
  await run("go", ["build", "-o", program, "."]);
  const bank = spawn(program, { env: { PATH: process.env.PATH, PORT: "0", DEMO_PORT: "0", DATA_DIR: data }, stdio: ["ignore", "ignore", "pipe"] });
  for await (const line of createInterface(bank.stderr)) {
    const found = line.match(/^Changebank is at (\S+)/);
    if (found) {
      bank.stderr.resume();
      return { bank, url: found[1] };
    }
  }
  throw new Error("the program did not start");
}

async function logIn(page, url) {
  await page.goto(`${url}/login`);
  await page.type('input[name="email"]', person);
  await page.type('input[name="password"]', "password\r");
  await page.waitForSelector("#account-email");
}

const { bank, url } = await start();
const chromium = await puppeteer.launch({
  executablePath: process.env.CHROME_PATH ?? "/usr/bin/chromium",
  args: process.getuid?.() === 0 ? ["--no-sandbox"] : [],
});
let perfect = true;
try {
  console.log("page                     size    accessibility  best practices  performance");
  for (const [size, config] of [["phone", undefined], ["laptop", desktopConfig]]) {
    for (const path of ["/", "/logged-out-qr-login", "/activate", "/account"]) {
      const browser = await chromium.createBrowserContext();
      const page = await browser.newPage();
      if (path === "/activate" || path === "/account") await logIn(page, url);
      const flags = { onlyCategories: ["accessibility", "best-practices", "performance"], disableStorageReset: true };
      const { lhr } = await lighthouse(url + path, flags, config, page);
      const scores = flags.onlyCategories.map((name) => Math.round(100 * lhr.categories[name].score));
      console.log(path.padEnd(24), size.padEnd(7), ...scores.map((score, i) => String(score).padStart([13, 15, 12][i])));
      for (const name of ["accessibility", "best-practices"]) {
        for (const { id } of lhr.categories[name].auditRefs) {
          const { score, title } = lhr.audits[id];
          if (score === null || score === 1) continue;
          perfect = false;
          console.log(`  ${name}: ${title}`);
        }
      }
      await browser.close();
    }
  }
} finally {
  await chromium.close();
  if (bank.kill()) await new Promise((done) => bank.on("exit", done));
  rmSync(data, { recursive: true });
}
process.exit(perfect ? 0 : 1);
