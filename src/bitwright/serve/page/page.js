// The page of `bitwright serve`: a picture goes to /classify and /preview of every model, side by side. No libraries.
"use strict";

const $ = (id) => document.getElementById(id);
const cards = new Map(); // model's name -> its card
let token = "";
let shown = 0; // number of the latest picture: answers to an earlier one are dropped
let waiting = null; // the picture to send once there is a token

function say(text, bad = false) {
  $("status").textContent = text;
  $("status").classList.toggle("bad", bad);
}

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (token) headers.Authorization = "Bearer " + token;
  const response = await fetch(path, { ...options, headers });
  if (response.status === 401) {
    $("token-form").hidden = false;
    $("token").focus();
  }
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error || response.statusText);
  return answer;
}

async function loadModels() {
  const models = await ask("/v2/repository/index", { method: "POST" });
  cards.clear();
  $("models").replaceChildren(...models.map((model) => {
    const card = $("model-template").content.cloneNode(true).firstElementChild;
    card.querySelector("h3").textContent = model.name;
    card.querySelector(".version").textContent = "version " + model.version;
    cards.set(model.name, card);
    return card;
  }));
  $("models").setAttribute("aria-busy", "false");
}

function showPicture(file) {
  const image = $("given-image");
  URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(file);
  $("given-name").textContent = file.name || "";
  $("given").hidden = false;
}

async function take(file) {
  if (!file) return;
  const number = ++shown;
  showPicture(file);
  waiting = file;
  say("Classifying…");
  const found = await Promise.all([...cards.keys()].map((name) => classify(name, file, number)));
  if (number !== shown) return;
  const good = found.filter((text) => text);
  if (good.length) waiting = null;
  say(good.length ? good.join(". ") + "." : "The picture could not be classified.", !good.length);
}

async function classify(name, file, number) {
  const card = cards.get(name), query = "?model=" + encodeURIComponent(name);
  const options = { method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" } };
  const begin = performance.now();
  try {
    const answer = await ask("/classify" + query, options);
    const elapsed = performance.now() - begin;
    if (number !== shown) return null;
    showClasses(card, answer, elapsed);
    showSeen(card, await ask("/preview" + query, options), name);
    return `${name}: ${answer.images[0].top[0].name}`;
  } catch (error) {
    if (number === shown) showError(card, error.message);
    return null;
  }
}

function showClasses(card, answer, elapsed) {
  const top = answer.images[0].top;
  card.querySelector(".version").textContent = "version " + answer.version;
  card.querySelector(".verdict").hidden = true;
  card.querySelector(".top").replaceChildren(...top.map(row));
  card.querySelector(".time").textContent =
    `${answer.milliseconds.toFixed(1)} ms on the server, ${elapsed.toFixed(0)} ms with the way there and back`;
}

function row(guess) {
  const item = document.createElement("li");
  const name = document.createElement("span"), percent = document.createElement("span");
  const bar = document.createElement("meter");
  name.className = "name";
  name.textContent = guess.name;
  percent.className = "percent";
  percent.textContent = guess.percent.toFixed(1) + " %";
  bar.max = 100;
  bar.value = guess.percent;
  bar.setAttribute("aria-label", `${guess.name}: ${guess.percent.toFixed(1)} percent`);
  item.append(name, percent, bar);
  return item;
}

function showSeen(card, seen, name) {
  showPng(card.querySelector(".pixels"), seen.pixels, `The picture after ${name}'s preprocessing`);
  showPng(card.querySelector(".bits"), seen.bits, `The picture in bits, as ${name} reads it`);
  card.querySelector(".bits figcaption").textContent = `what its bits say (${seen.encoder})`;
}

function showPng(figure, data, text) {
  figure.hidden = !data;
  if (!data) return;
  const image = figure.querySelector("img");
  image.src = "data:image/png;base64," + data;
  image.alt = text;
}

function showError(card, message) {
  card.querySelector(".verdict").hidden = false;
  card.querySelector(".verdict").textContent = message;
  card.querySelector(".verdict").classList.add("bad");
  card.querySelector(".top").replaceChildren();
  card.querySelector(".time").textContent = "";
  for (const figure of card.querySelectorAll("figure")) figure.hidden = true;
}

// Four ways to a picture: choose, drop, paste, photograph.
for (const id of ["file", "camera-file"]) {
  $(id).addEventListener("change", () => {
    take($(id).files[0]);
    $(id).value = ""; // the same file may be chosen again
  });
}
$("choose").addEventListener("click", () => $("file").click());

document.addEventListener("dragover", (event) => {
  event.preventDefault();
  $("drop").classList.add("over");
});
document.addEventListener("dragleave", () => $("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault(); // or the browser would leave the page for the picture
  $("drop").classList.remove("over");
  const file = event.dataTransfer.files[0];
  if (file) take(file);
  else say("What was dropped is no file. Save the picture first, or copy and paste it.", true);
});
document.addEventListener("paste", (event) => {
  const file = event.clipboardData.files[0];
  if (file) take(file);
  else if (event.target.tagName !== "INPUT") say("There is no picture in the clipboard.", true);
});

let stream = null;
function closeCamera() {
  for (const track of stream ? stream.getTracks() : []) track.stop();
  stream = null;
  $("camera").hidden = true;
  $("photograph").focus();
}
$("photograph").addEventListener("click", async () => {
  const live = navigator.mediaDevices && window.matchMedia("(pointer: fine)").matches;
  if (!live) return $("camera-file").click(); // a phone has a camera app; without https there is no other way
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    return say("The camera cannot be used: " + error.message, true);
  }
  $("video").srcObject = stream;
  $("camera").hidden = false;
  await $("video").play();
  $("shoot").focus();
});
$("shoot").addEventListener("click", () => {
  const canvas = document.createElement("canvas");
  canvas.width = $("video").videoWidth;
  canvas.height = $("video").videoHeight;
  canvas.getContext("2d").drawImage($("video"), 0, 0);
  canvas.toBlob((blob) => take(new File([blob], "photo.png", { type: "image/png" })), "image/png");
  closeCamera();
});
$("camera-off").addEventListener("click", closeCamera);

$("token-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  token = $("token").value;
  $("token-form").hidden = true;
  await start();
  $("choose").focus();
  if (waiting) take(waiting);
});

async function start() {
  try {
    await loadModels();
    say("Ready.");
  } catch (error) {
    say("The models could not be listed: " + error.message, true);
  }
}
start();
