
"use strict";

function order(a, b, direction) {
  if (typeof a === "string") return direction * a.localeCompare(b, undefined, { numeric: true });
  if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b); // what is unknown goes last
  return a === b ? 0 : direction * (a < b ? -1 : 1);
}

function key(cell) {
  const value = cell.dataset.value;
  if (value === undefined) return cell.textContent;
  return Number(value.replace("inf", "Infinity"));
}

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    button.addEventListener("click", () => {
      const opposite = { ascending: "descending", descending: "ascending" };
      const now = opposite[head.getAttribute("aria-sort")] || button.dataset.first;
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", now);
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => order(key(a.cells[column]), key(b.cells[column]), now === "ascending" ? 1 : -1));
      table.tBodies[0].append(...rows);
    });
  });
}

const factor = document.getElementById("factor");
if (factor) {
  const show = () => {
    document.body.style.setProperty("--factor", factor.value);
    factor.parentElement.querySelector("output").value = factor.value;
  };
  factor.addEventListener("input", show);
  show();
}

for (const strip of document.querySelectorAll(".strip")) {
  const button = strip.querySelector("button.zoom");
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  let x = 0.5;
  let y = 0.5;
  const look = (left, top) => {
    x = Math.min(1, Math.max(0, left));
    y = Math.min(1, Math.max(0, top));
    for (const image of strip.querySelectorAll("img")) image.style.transformOrigin = `${100 * x}% ${100 * y}%`;
  };
  const enlarge = (on) => {
    strip.classList.toggle("enlarged", on);
    button.setAttribute("aria-pressed", String(on));
  };
  const follow = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    look((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  };
  for (const view of strip.querySelectorAll(".view")) {
    view.addEventListener("pointermove", follow);
    view.addEventListener("click", (event) => {
      follow(event);
      button.focus({ preventScroll: true }); // so that the keys go to this strip
      enlarge(!strip.classList.contains("enlarged"));
    });
  }
  button.addEventListener("click", () => enlarge(!strip.classList.contains("enlarged")));
  strip.addEventListener("keydown", (event) => {
    if (!strip.classList.contains("enlarged")) return;
    const step = steps[event.key];
    if (event.key === "Escape") enlarge(false);
    if (step) {
      event.preventDefault();
      look(x + step[0] / 20, y + step[1] / 20);
    }
  });
}
