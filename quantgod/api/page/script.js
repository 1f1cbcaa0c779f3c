// Loads what moves again: after each signal, and every few seconds.
"use strict";

const LEAST_MS = 1000; // between two loads: a simulated exchange may play a minute a second
const CLOCK_MS = 5000;
const SOON_MS = 300; // votes and signals of several symbols come together
const moving = [...document.querySelectorAll("[data-from]")];
const connection = document.getElementById("connection");
const announced = document.getElementById("announced");
let last = 0;
let isOpen = null; // of the stream; null before it is known
let timer = null;

function say(place, text) {
  if (place.textContent !== text) place.textContent = text; // a reader speaks what changes
}

function announce(part) {
  const said = part.querySelector("[data-announce]")?.dataset.announce ?? "";
  if (said !== (part.dataset.said ?? said)) say(announced, said);
  part.dataset.said = said;
}

function tell() {
  if (isOpen === null) return;
  const runs = document.querySelector("[data-runs]")?.dataset.runs === "yes";
  const connected = runs ? "Connected: it goes on with each signal." : "Connected. No live session runs: there are no new signals.";
  say(connection, isOpen ? connected : "The connection is lost and is tried again.");
}

async function load(part) {
  const answer = await fetch(part.dataset.from);
  if (answer.status === 401) location.reload(); // to the login form
  if (!answer.ok) return;
  const text = await answer.text();
  if (text === part.dataset.text) return;
  part.dataset.text = text;
  const open = [...part.querySelectorAll("details[open]")];
  const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
  part.innerHTML = text;
  for (const one of open) document.getElementById(one.id)?.setAttribute("open", "");
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  announce(part);
  tell();
}

async function loadAll() {
  await Promise.allSettled(moving.map(load));
  last = Date.now();
  timer = null;
}

function soon() {
  if (!document.hidden) timer ??= setTimeout(loadAll, Math.max(SOON_MS, last + LEAST_MS - Date.now()));
}

const stream = new EventSource("/api/signals/stream");
stream.onopen = () => ((isOpen = true), tell());
stream.onerror = () => ((isOpen = false), tell());
stream.addEventListener("signal", soon);
setInterval(soon, CLOCK_MS);
document.addEventListener("visibilitychange", soon);
moving.forEach(announce);
