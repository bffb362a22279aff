"use strict";

// Everything works without this script; it adds keys, enlarging in place, and the map's thumbnails.
const zoom = document.getElementById("zoom"), help = document.getElementById("help");
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const visible = element => element.checkVisibility();

// Enlarging: the page of a mask, in a dialog; steps go along the pictures of its group.
let group = [], at = 0, asked = 0;

async function show(href) {
  const turn = ++asked;
  const answer = await fetch(`${href}?part=1`, { headers: { accept: "text/html" } });
  const text = await answer.text();
  if (turn !== asked) return;  // another one was asked for meanwhile
  if (!answer.ok) return location.assign(href);
  zoom.querySelector(".content").innerHTML = text;
  for (const back of all("input[name=back]", zoom)) back.value = location.pathname + location.search;
  zoom.querySelector(".position").textContent = group.length > 1 ? `${at + 1} of ${group.length}` : "";
  for (const step of all("[data-step]", zoom)) step.hidden = group.length < 2;
  if (!zoom.open) zoom.showModal();
  zoom.scrollTop = 0;
}

function enlarge(link) {
  const within = link.closest("[data-group]");
  group = within ? all("[data-zoom]", within) : [link];
  at = group.indexOf(link);
  return show(link.getAttribute("href"));
}

function step(by) {
  if (group.length < 2) return;
  at = (at + by + group.length) % group.length;
  show(group[at].getAttribute("href"));
}

document.addEventListener("click", event => {
  const target = event.target.closest("[data-zoom], [data-step], .close, .help, dialog");
  if (!target || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  if (target.matches("[data-zoom]")) {
    event.preventDefault();
    if (zoom.contains(target)) show(target.getAttribute("href"));
    else enlarge(target);
  } else if (target.dataset.step) step(Number(target.dataset.step));
  else if (target.matches(".close") || event.target === target && target.matches("dialog")) {
    target.closest("dialog").close();
  } else if (target.matches(".help")) help.showModal();
});

// Keys: an element with data-key is clicked, or entered if it is a field.
const GO = Object.fromEntries(all("[data-go]").map(link => [link.dataset.go, link]));
let going = false;

function move(by) {
  const cards = all("[data-card]").filter(visible);
  if (!cards.length) return;
  const now = cards.findIndex(card => card.contains(document.activeElement));
  const next = cards[now < 0 ? (by > 0 ? 0 : cards.length - 1) : Math.min(Math.max(now + by, 0), cards.length - 1)];
  (next.querySelector("[data-open], .zoom, .verdict input") ?? next).focus();
  next.scrollIntoView({ block: "nearest" });
}

function press(key) {
  const own = document.activeElement?.closest("[data-card]");
  if (own && key === "n" && own.querySelector("input[name=name]")) {
    own.querySelector("input[name=name]").select();
    return true;
  }
  if (key === "x") {
    own?.querySelector(".mark")?.click();
    return Boolean(own);
  }
  if (key === "a") {
    const marks = all(".pick .mark"), some = marks.some(mark => !mark.checked);
    for (const mark of marks) mark.checked = some;
    count();
    return marks.length > 0;
  }
  const found = all("[data-key]").find(one => one.dataset.key === key);
  if (!found) return false;
  if (found.matches("input:not([type=checkbox])")) found.focus(), found.select();
  else found.click();
  return true;
}

document.addEventListener("keydown", event => {
  const field = event.target.closest("input:not([type=checkbox]), select, textarea");
  if (event.key === "Escape" && field && !zoom.open) return field.blur();
  if (field || event.ctrlKey || event.metaKey || event.altKey || help.open) return;
  if (zoom.open) {
    if (event.key === "ArrowRight") step(1);
    else if (event.key === "ArrowLeft") step(-1);
    else if (event.key === "v") zoom.querySelector(".with-masks").click();
    return;
  }
  if (going) {
    going = false;
    return GO[event.key]?.click();
  }
  const by = { ArrowRight: 1, j: 1, ArrowLeft: -1, k: -1 }[event.key];
  if (event.key === "g") going = true;
  else if (event.key === "?") help.showModal();
  else if (by) move(by), event.preventDefault();
  else if (press(event.key)) event.preventDefault();
});

// Marking: how many are marked; with Shift all from the last one on.
let last = null;

function count() {
  const marked = all(".mark:checked").length;
  for (const output of all(".marked-count")) output.textContent = `${marked} marked`;
}

document.addEventListener("click", event => {
  if (!event.target.matches(".mark")) return;
  const marks = all(".mark");
  if (event.shiftKey && last) {
    const [from, to] = [marks.indexOf(last), marks.indexOf(event.target)].sort((a, b) => a - b);
    for (const mark of marks.slice(from, to + 1)) mark.checked = event.target.checked;
  }
  last = event.target;
  count();
});
document.addEventListener("reset", () => setTimeout(count));
count();
for (const button of all("button.help")) button.hidden = false;

// The map: a thumbnail beside the pointer, and the masks of one class alone.
const map = document.getElementById("map");
if (map) {
  const tip = document.querySelector(".tip"), box = tip.parentElement;
  const names = Object.fromEntries(all(".legend-of li").map(one => [one.dataset.class, one.dataset.name]));
  map.addEventListener("pointerover", event => {
    const point = event.target.closest("a");
    tip.hidden = !point;
    if (!point) return;
    const id = point.getAttribute("href").split("/").pop(), { class: of, outline } = point.dataset;
    tip.querySelector("img").src = `/crops/${of < 0 ? "none" : of}/${id}${outline ? `?outline=${outline}` : ""}`;
    tip.querySelector("figcaption").textContent = names[of] ?? `class ${of}`;
    const outer = box.getBoundingClientRect(), inner = point.getBoundingClientRect();
    const left = inner.right - outer.left + 10, top = inner.top - outer.top - 60;
    tip.style.left = `${left + 180 > outer.width ? inner.left - outer.left - 180 : left}px`;
    tip.style.top = `${Math.max(0, Math.min(top, outer.height - 220))}px`;
  });
  map.addEventListener("pointerleave", () => { tip.hidden = true; });
  for (const item of all(".legend-of li")) {
    const only = on => {
      map.classList.toggle("only", on);
      for (const point of all("a", map)) {
        point.classList.toggle("of", on && point.dataset.class === item.dataset.class);
      }
    };
    for (const [kind, on] of [["pointerenter", true], ["pointerleave", false], ["focusin", true], ["focusout", false]]) {
      item.addEventListener(kind, () => only(on));
    }
  }
}
