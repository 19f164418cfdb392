// What pages do beyond reading: nothing here is needed to read one.
"use strict";
const csrf = document.querySelector('meta[name="csrf"]')?.content ?? "";

// A picture as it is, in its place, and blurred again; without this script the same form opens a page of its own.
document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.matches("form.picture")) return;
  event.preventDefault();
  const [button, image, word] = ["button", "img", "span"].map((name) => form.querySelector(name));
  if (form.blurred) {
    [image.src, word.textContent, form.blurred] = [form.blurred, form.show, ""];
    button.setAttribute("aria-pressed", "false");
    return;
  }
  const answer = await fetch(form.action, {
    method: "POST", headers: { Accept: "application/json" }, body: new URLSearchParams(new FormData(form)),
  });
  if (!answer.ok) return form.submit();
  [form.blurred, form.show] = [image.src, word.textContent];
  [image.src, word.textContent] = [(await answer.json()).picture, form.dataset.hide];
  button.setAttribute("aria-pressed", "true");
});

// On a phone a row is a stack: each value says what it is.
for (const table of document.querySelectorAll("table.stack")) {
  const names = [...table.querySelectorAll("thead th")].map((cell) => cell.textContent.trim());
  for (const row of table.querySelectorAll("tbody tr")) {
    [...row.cells].forEach((cell, place) => { if (names[place] && cell.textContent.trim()) cell.dataset.label = names[place]; });
  }
}

// A photo of several people, on which one face can be tapped; a second tap takes it back.
function faces(told, place) {
  const figure = document.createElement("span");
  figure.className = "faces";
  const [image, pick] = [document.createElement("img"), document.createElement("input")];
  [image.src, image.alt, pick.type, pick.name, pick.disabled] = [told.picture, "", "hidden", "pick", true];
  figure.append(image, pick);
  for (const face of told.faces) {
    const button = figure.appendChild(document.createElement("button"));
    button.type = "button";
    button.setAttribute("aria-label", chooser.dataset.face.replace("{number}", face.number));
    button.setAttribute("aria-pressed", "false");
    for (const side of ["left", "top", "width", "height"]) button.style[side] = `${face[side]}%`;
    button.addEventListener("click", () => {
      const chosen = button.getAttribute("aria-pressed") === "false";
      for (const other of figure.querySelectorAll("button")) other.setAttribute("aria-pressed", "false");
      button.setAttribute("aria-pressed", String(chosen));
      [pick.value, pick.disabled] = [`${place}:${face.number}`, !chosen];
    });
  }
  return figure;
}

// Photos are checked one by one as they are chosen.
const chooser = document.querySelector("input[data-check]");
if (chooser) {
  const list = document.querySelector("#checked");
  const count = document.querySelector("#count");
  chooser.addEventListener("change", async () => {
    list.replaceChildren();
    let good = 0;
    const asked = chooser.files;
    for (const [place, photo] of [...asked].entries()) {
      const line = list.appendChild(document.createElement("li"));
      const tag = line.appendChild(document.createElement("span"));
      tag.className = "tag";
      tag.textContent = chooser.dataset.checking;
      line.append(photo.name);
      const body = new FormData();
      body.append("photo", photo);
      const answer = await fetch(chooser.dataset.check, {
        method: "POST", headers: { "X-CSRF": csrf, Accept: "application/json" }, body,
      }).catch(() => null);
      if (chooser.files !== asked) return;
      if (!answer?.ok) { tag.textContent = chooser.dataset.unsure; continue; }
      const told = await answer.json();
      tag.className = told.accepted ? "tag good" : "tag bad";
      tag.textContent = told.accepted ? chooser.dataset.good : chooser.dataset.bad;
      if (told.reason) {
        const reason = line.appendChild(document.createElement("span"));
        reason.className = "soft";
        reason.textContent = told.reason;
      }
      if (told.faces) line.appendChild(faces(told, place));
      good += told.accepted ? 1 : 0;
      count.textContent = chooser.dataset.count.replace("{good}", good);
    }
  });
}

// How far a scan is.
const bar = document.querySelector("[data-events]");
if (bar) {
  const source = new EventSource(bar.dataset.events);
  const show = (told) => {
    const progress = bar.querySelector("progress");
    if (told.total) { progress.max = told.total; progress.value = told.done; } else { progress.removeAttribute("value"); }
    bar.querySelector("[data-done]").textContent = told.total ? `${told.done} / ${told.total}` : `${told.done}`;
    bar.querySelector("[data-doing]").textContent = told.doing;
  };
  source.addEventListener("progress", (event) => show(JSON.parse(event.data)));
  source.addEventListener("ended", () => { source.close(); location.reload(); });
}

// A large file goes to the gate's own receiver, with its progress.
const sender = document.querySelector("form[data-send]");
if (sender) {
  sender.hidden = false;
  sender.addEventListener("submit", (event) => {
    event.preventDefault();
    if (sender.querySelector("input[type=file]").files[0]?.size === 0) {
      sender.querySelector("[data-problem]").textContent = sender.dataset.empty;
      return;
    }
    const request = new XMLHttpRequest();
    const progress = sender.querySelector("progress");
    progress.hidden = false;
    request.upload.addEventListener("progress", (told) => { progress.max = told.total; progress.value = told.loaded; });
    request.addEventListener("load", () => {
      const answer = JSON.parse(request.responseText || "{}");
      if (request.status === 200) location.assign(answer.path);
      else { progress.hidden = true; sender.querySelector("[data-problem]").textContent = answer.detail || request.statusText; }
    });
    request.open("POST", sender.dataset.send);
    request.setRequestHeader("X-CSRF", csrf);
    request.setRequestHeader("Accept", "application/json");
    request.send(new FormData(sender));
  });
}

// Tick every case of the page.
document.querySelector("input[data-all]")?.addEventListener("change", (event) => {
  for (const box of document.querySelectorAll('input[name="case"]')) box.checked = event.target.checked;
});
document.querySelector("select[data-go]")?.addEventListener("change", (event) => event.target.form.submit());
