"use strict";

// Enlarging: a dialog shows the pictures of the button that was pressed, and of its neighbours.
const dialog = document.querySelector("dialog");
const part = name => dialog.querySelector(name);
let group = [], at = 0;

function show(index) {
  at = (index + group.length) % group.length;
  const opener = group[at];
  const pictures = [...opener.querySelectorAll("img")].map(image => image.cloneNode());
  const { naturalWidth: w, naturalHeight: h } = opener.querySelector("img");
  part(".stage").style.setProperty("--ratio", w / h);
  part(".stage").replaceChildren(...pictures);
  part(".stage").classList.toggle("crop", pictures.length === 1);
  part(".caption").textContent = opener.dataset.caption;
  part(".position").textContent = `${at + 1} of ${group.length}`;
  part(".masks").hidden = pictures.length === 1;
  const photo = document.getElementById(`photo-${opener.dataset.photo}`);
  part(".whole").hidden = pictures.length > 1 || !photo;
  for (const step of dialog.querySelectorAll("[data-step]")) step.hidden = group.length < 2;
}

function open(opener) {
  group = [...opener.closest("[data-group]").querySelectorAll(".zoom")];
  dialog.classList.remove("bare");
  show(group.indexOf(opener));
  if (!dialog.open) dialog.showModal();
}

const toggleMasks = () => dialog.classList.toggle("bare");

document.addEventListener("click", event => {
  const target = event.target.closest("button, dialog");
  if (!target) return;
  if (target.classList.contains("zoom")) open(target);
  else if (target.dataset.open) open(document.querySelector(`#photo-${target.dataset.open} .zoom`));
  else if (target.classList.contains("whole")) {
    open(document.querySelector(`#photo-${group[at].dataset.photo} .zoom`));
  } else if (target.classList.contains("masks")) toggleMasks();
  else if (target.dataset.step) show(at + Number(target.dataset.step));
  else if (target.classList.contains("close") || event.target === dialog) dialog.close();
});

dialog.addEventListener("keydown", event => {
  if (event.key === "ArrowRight") show(at + 1);
  else if (event.key === "ArrowLeft") show(at - 1);
  else if (event.key === "m") toggleMasks();
});

// Paging: without this script, everything is shown at once.
for (const list of document.querySelectorAll("[data-page-size]")) {
  const size = Number(list.dataset.pageSize), all = [...list.children];
  const box = list.closest("[data-paged]"), pager = box.querySelector(".pager");
  const [back, on] = pager.querySelectorAll("button"), filter = box.querySelector("input.filter");
  let found = all, page = 0;
  const turn = to => {
    page = to;
    const shown = new Set(found.slice(page * size, (page + 1) * size));
    for (const one of all) one.hidden = !shown.has(one);
    back.disabled = page === 0;
    on.disabled = (page + 1) * size >= found.length;
    pager.querySelector("output").textContent = found.length
      ? `${page * size + 1}–${page * size + shown.size} of ${found.length}` : "none found";
  };
  back.addEventListener("click", () => turn(page - 1));
  on.addEventListener("click", () => turn(page + 1));
  filter?.addEventListener("input", () => {
    const wanted = filter.value.toLowerCase();
    found = all.filter(one => one.textContent.toLowerCase().includes(wanted));
    turn(0);
  });
  if (filter) filter.hidden = false;
  pager.hidden = all.length <= size;
  turn(0);
}
