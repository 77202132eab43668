// Shows how a sync goes while it does: the server sends the part of the page that says so, and at the end the parts
// marked with data-live are taken from the page as it is then. Without this script the page reloads itself.
"use strict";

const AGAIN_MS = 5000;
let stream = null;

function follow() {
  stream?.close();
  const place = document.querySelector("[data-follow]");
  // A browser has few connections to a host: a page that nobody looks at leaves its own to others.
  if (!place || document.hidden) return;
  stream = new EventSource(place.dataset.follow);
  stream.addEventListener("progress", (event) => { place.innerHTML = event.data; });
  stream.addEventListener("end", renew);
  // Broken off, it connects again by itself; closed, it was refused.
  stream.addEventListener("error", () => { if (stream.readyState === EventSource.CLOSED) setTimeout(renew, AGAIN_MS); });
}

async function renew() {
  stream?.close();
  const place = document.querySelector("[data-follow]");
  if (!place) return;
  const { page } = place.dataset;
  try {
    const answer = await fetch(page);
    if (answer.redirected) { location.assign(page); return; } // signed out meanwhile
    if (!answer.ok) throw new Error(answer.statusText);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const old of document.querySelectorAll("[data-live]")) {
      const one = fresh.getElementById(old.id);
      if (one) old.replaceWith(one);
    }
  } catch {
    setTimeout(renew, AGAIN_MS);
    return;
  }
  follow();
}

document.addEventListener("visibilitychange", follow);
follow();
