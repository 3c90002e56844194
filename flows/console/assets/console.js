// Changes in place what a page shows, as the console tells of it. Every page works without this.
"use strict";

const SETTLED_MS = 600; // so long a slider has to stand still
const EVERY_MS = 10000; // at most so often a page is asked for again because of small changes, for its lines of an hour
const body = document.body;
const connection = document.getElementById("connection");
let shape = body.dataset.shape;
let waiting = 0;

function say(sentence) {
  if (connection && connection.textContent !== sentence) connection.textContent = sentence;
}

function put(cells) {
  let changed = false;
  for (const element of document.querySelectorAll("[data-cell]")) {
    const text = cells[element.dataset.cell];
    if (text === undefined || element.textContent === text) continue;
    element.textContent = text;
    element.classList.remove("changed");
    void element.offsetWidth; // so that the same cell shows its next change too
    element.classList.add("changed");
    changed = true;
  }
  return changed;
}

// Ask for the page again, and take over those of its parts that are not the same; what somebody unfolded stays so.
async function renew() {
  waiting = 0;
  let page;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!answer.ok) return;
    page = new DOMParser().parseFromString(await answer.text(), "text/html");
  } catch {
    return; // the connection says so already
  }
  const main = document.getElementById("main");
  const fresh = page.getElementById("main");
  const ids = (root) => [...root.querySelectorAll("[data-part]")].map((part) => part.id).join(" ");
  const isSame = ids(main) === ids(fresh) && [...main.querySelectorAll("[data-part]")].length > 0;
  const open = [...main.querySelectorAll("details")].map((one) => one.open);
  const isBusy = main.contains(document.activeElement) && document.activeElement !== main;
  if (isSame) {
    for (const part of [document.getElementById("troubles"), ...main.querySelectorAll("[data-part]")]) {
      const other = page.getElementById(part.id);
      if (part.innerHTML !== other.innerHTML && !part.contains(document.activeElement)) part.innerHTML = other.innerHTML;
    }
  } else if (!isBusy) {
    main.innerHTML = fresh.innerHTML;
  }
  const details = main.querySelectorAll("details");
  if (details.length === open.length) details.forEach((one, index) => { one.open = open[index]; });
  if (page.body.dataset.shape) shape = page.body.dataset.shape;
}

function listen() {
  const news = new EventSource("/stream?watch=" + encodeURIComponent(body.dataset.live));
  news.onopen = () => say("Changes come by themselves");
  news.onerror = () => say("The console does not answer: what is shown may be old");
  news.onmessage = (event) => {
    const said = JSON.parse(event.data);
    const changed = put(said.cells);
    if (said.shape !== shape) {
      shape = said.shape;
      clearTimeout(waiting);
      renew();
    } else if (changed && !waiting) {
      waiting = setTimeout(renew, EVERY_MS);
    }
  };
  addEventListener("pagehide", () => news.close());
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
}

// A slider shows where it stands, and asks for the page when it is let go.
for (const slider of document.querySelectorAll("input[type=range][data-from]")) {
  const from = Number(slider.dataset.from);
  const shown = document.getElementById(slider.dataset.shows);
  const time = () => new Date(from + Number(slider.value) * 1000).toISOString().slice(0, 19) + "Z";
  const tell = (text) => { if (shown) shown.textContent = text; slider.setAttribute("aria-valuetext", text); };
  let asking = 0;
  tell(shown ? shown.textContent : time());
  slider.addEventListener("input", () => tell(time().slice(0, 19).replace("T", " ")));
  slider.addEventListener("change", () => {
    clearTimeout(asking); // a key that is pressed again goes on from where the slider stands
    asking = setTimeout(() => {
      slider.form.elements.at.value = time();
      slider.form.action = "/explain#" + slider.id; // which has the focus again then
      slider.form.submit();
    }, SETTLED_MS);
  });
}

addEventListener("keydown", (event) => {
  const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName);
  if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    document.getElementById("search").focus();
  }
});

if (body.dataset.live) listen();
